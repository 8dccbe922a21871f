"""A gang over two nodes that loses one: what the other node's ranks do then is only an echo."""

import os
import signal
import sys
from pathlib import Path

import pytest
from tests.integration.conftest import Losses, OpenHouse
from tests.integration.house import House, kill, until
from tests.integration.jobs import KILL_AT_STEP, STEPS, training
from tests.integration.verdict import faults

pytestmark = pytest.mark.slow

# Like most scripts: when the other rank is gone, this one ends at once with an error of its own.
SCRIPT = """
import os, socket, sys, time
address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
if os.environ["RANK"] == "0":
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(address)
    server.listen()
    peer, _ = server.accept()
else:
    while True:
        try:
            peer = socket.create_connection(address)
            break
        except OSError:
            time.sleep(0.05)
name = [os.environ[part] for part in ("RANK", "IRONGRID_ATTEMPT", "IRONGRID_GENERATION")]
open(".".join(["up", *name]), "w")
peer.settimeout(0.05)
while not os.path.exists("go"):
    try:
        if not peer.recv(1) and not os.path.exists("go"):
            raise ConnectionError("the other rank is gone")
    except TimeoutError:
        pass
"""


def pair(folder: Path) -> dict[str, object]:
    """A job of two ranks that notice each other's end."""
    (folder / "pair.py").write_text(SCRIPT)
    run = [sys.executable, "pair.py"]
    return {"name": "pair", "workdir": str(folder), "run": run, "resources": {"count": 2}}


@pytest.fixture
def house(open_house: OpenHouse) -> House:
    """A home with two nodes of one device each."""
    return open_house(nodes="2x1")


def test_a_lost_worker_is_the_cause_and_not_the_error_that_its_peer_makes_of_it(
    house: House, tmp_path: Path
) -> None:
    job = house.submit(pair(tmp_path))
    until(lambda: len(list(tmp_path.glob(f"up.*.{job}.1.1"))) == 2, "both ranks are up")
    kill(house.worker(job, "n1"))
    house.wait_event(job, "worker_stopped", node="n1")
    until(lambda: len(list(tmp_path.glob(f"up.*.{job}.2.1"))) == 2, lambda: house.show(job))
    (tmp_path / "go").touch()
    detail = house.reaches(job, "succeeded")

    assert detail.attempts[0].failures[-1].code == "worker_lost"
    assert (detail.row.epoch, detail.row.restarts) == (2, 1)
    assert faults(house) == []


def test_a_killed_rank_is_the_cause_also_if_its_peer_is_heard_first(
    house: House, tmp_path: Path
) -> None:
    job = house.submit(pair(tmp_path))
    until(lambda: len(list(tmp_path.glob(f"up.*.{job}.1.1"))) == 2, "both ranks are up")
    worker = house.worker(job, "n1")
    (rank,) = [rank for rank in house.ranks(job) if rank.node == "n1"]
    os.kill(worker.pid, signal.SIGSTOP)
    kill(rank)
    house.wait_event(job, "gang_failed", node="n0")
    os.kill(worker.pid, signal.SIGCONT)
    until(lambda: len(list(tmp_path.glob(f"up.*.{job}.1.2"))) == 2, lambda: house.show(job))
    (tmp_path / "go").touch()
    detail = house.reaches(job, "succeeded")

    assert [failure.signal for failure in detail.attempts[0].failures] == ["SIGKILL"]
    assert (detail.row.epoch, detail.row.restarts) == (1, 1)
    assert faults(house) == []


def test_ranks_that_lose_their_peers_while_no_server_is_there_to_notice_blame_nobody_else(
    house: House, undisturbed: Losses
) -> None:
    job = house.submit(training())
    house.wait_step(job, KILL_AT_STEP)
    house.kill_server()
    kill(house.worker(job, "n1"))
    until(lambda: not house.ranks(job), "the ranks of the other node have given up")
    house.up()
    detail = house.reaches(job, "succeeded")

    assert detail.failure is not None
    assert detail.failure.code == "worker_lost"
    assert [step for step, _ in house.losses(job)] == list(range(1, STEPS + 1))
    assert house.losses(job) == undisturbed
    assert faults(house) == []
