"""The local engine with real workers: one per place, found by any server, truly gone when gone."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.pace import at_known_pace, processor_time_s
from tests.worker.stage import (
    JOB,
    NODE,
    TOKEN,
    ScriptedServer,
    order_for,
    run_spec,
    start_worker,
    until,
)

from irongrid.domain.codec import to_json
from irongrid.domain.device import Node, NodeShare, Placement
from irongrid.domain.event import RanksReady, RanksStopped, WorkerJoined
from irongrid.domain.ids import NodeId
from irongrid.domain.messages import LaunchOrder
from irongrid.engines.local import LocalEngine
from irongrid.errors import EngineRefused
from irongrid.ports import WorkerPhase
from irongrid.telemetry import procfs

PLACE = (JOB, 1, NODE)
NODES = (Node(id=NODE, device_type="cpu", devices=2, cpus=2.0, memory_bytes=2**30),)
SLEEP = ("python", "-c", "import time; time.sleep(600)")


class Stage:
    """An engine on a home of its own, and a server for its workers to talk to."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir(exist_ok=True)
        self.server = ScriptedServer(home / "address")
        self.server.up()
        self.engine = self.restarted()

    def restarted(self) -> LocalEngine:
        """The engine of another server on the same home."""
        return LocalEngine(self.home, NODES, procfs)

    def order(self, *argv: str) -> LaunchOrder:
        return order_for(self.home, run_spec(self.home, *(argv or SLEEP)))

    def phase(self, engine: LocalEngine | None = None) -> WorkerPhase:
        (seen,) = (engine or self.engine).observe([PLACE])
        return seen.phase

    def record(self) -> dict[str, int]:
        """What the worker has written of itself."""
        path = self.home / "jobs" / JOB / "attempt-1" / NODE / "worker.json"
        text = until(lambda: path.exists() and path.read_text(), "worker.json")
        return dict(json.loads(text))

    def processes(self) -> set[int]:
        mark = (str(self.home / "jobs" / JOB), f"{JOB}.1", NODE)
        return procfs.marked().get(mark, set())

    def run(self) -> None:
        """Have the ranks started."""
        self.server.direct("run")
        self.server.wait(RanksReady)


@pytest.fixture
def stages(tmp_path: Path) -> Iterator[Callable[[str], Stage]]:
    made: list[Stage] = []

    def make(name: str) -> Stage:
        made.append(Stage(tmp_path / name))
        return made[-1]

    yield make
    for stage in made:
        stage.engine.stop(JOB, 1, stage.order().placement)
        stage.server.down()


@pytest.fixture
def stage(stages: Callable[[str], Stage]) -> Stage:
    return stages("home")


def test_a_worker_is_alive_from_its_launch_to_its_end_and_leaves_no_zombie(stage: Stage) -> None:
    assert stage.phase() is WorkerPhase.GONE, "never started"
    stage.engine.launch([stage.order()])
    assert stage.phase() is WorkerPhase.ALIVE
    stage.server.wait(WorkerJoined)
    assert stage.phase() is WorkerPhase.ALIVE
    pid = stage.record()["pid"]
    stage.server.direct("stop")
    stage.server.wait(RanksStopped)
    until(lambda: stage.phase() is WorkerPhase.GONE, "the worker to be gone")

    assert procfs.stat(pid) is None, "not even a zombie"


def test_launching_twice_at_once_gives_one_worker(stage: Stage) -> None:
    # Two engines do not know of each other, like a server and the one that takes over after it.
    engines = [stage.engine, stage.engine, stage.restarted(), stage.restarted()]
    threads = [
        threading.Thread(target=engine.launch, args=([stage.order()],)) for engine in engines
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stage.server.wait(WorkerJoined)
    until(lambda: stage.processes() == {stage.record()["pid"]}, "the others to go")

    for engine in engines:
        assert stage.phase(engine) is WorkerPhase.ALIVE
    assert [fact.n for fact in stage.server.facts] == [1]


def test_a_launch_that_is_repeated_after_the_workers_end_starts_none(stage: Stage) -> None:
    stage.engine.launch([stage.order()])
    stage.server.wait(WorkerJoined)
    stage.server.direct("stop")
    until(lambda: stage.phase() is WorkerPhase.GONE, "the worker to be gone")
    for engine in (stage.engine, stage.restarted()):
        engine.launch([stage.order()])

        assert stage.phase(engine) is WorkerPhase.GONE
    assert not stage.processes()


def test_stop_ends_the_worker_its_ranks_and_what_ran_away_from_them(stage: Stage) -> None:
    code = (
        "import os, subprocess, sys, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    away = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "    child = subprocess.Popen(away, env={}, start_new_session=True)\n"
        "    open('runaway', 'w').write(f'{child.pid}.')\n"
        "    os._exit(0)\n"
        "time.sleep(600)"
    )
    stage.engine.launch([stage.order("python", "-c", code)])
    stage.run()
    path = stage.home / "runaway"
    runaway = until(lambda: path.exists() and path.read_text(), "the runaway")
    stage.engine.stop(JOB, 1, stage.order().placement)

    assert stage.phase() is WorkerPhase.GONE
    assert not stage.processes()
    assert procfs.start_ticks(int(runaway.rstrip("."))) is None


def test_a_worker_that_comes_after_its_stop_does_nothing(stage: Stage) -> None:
    stage.engine.stop(JOB, 1, stage.order().placement)
    late = start_worker(stage.order(), {})

    assert late.wait() == 0
    assert not stage.server.facts
    stage.engine.launch([stage.order()])
    assert stage.phase() is WorkerPhase.GONE


def test_gone_is_said_only_when_the_ranks_of_a_killed_worker_are_gone_too(stage: Stage) -> None:
    # A grandchild does not die with the worker, as ranks do: the engine has to find it.
    stage.engine.launch([stage.order("sh", "-c", "sleep 600 & sleep 601 & wait")])
    stage.run()
    until(lambda: len(stage.processes()) == 4, "worker, shell and two sleeps")
    worker = stage.record()["pid"]
    os.kill(worker, signal.SIGKILL)
    until(lambda: procfs.start_ticks(worker) is None, "the worker to die")
    seen = stage.phase()
    left = stage.processes()

    assert seen is WorkerPhase.ALIVE or not left
    until(lambda: stage.phase() is WorkerPhase.GONE, "the rest to be gone")
    assert not stage.processes()


def test_another_server_finds_the_worker_and_can_stop_it(stage: Stage) -> None:
    # Launched by a process that is gone: nobody here is its parent.
    code = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from irongrid.domain.codec import from_json\n"
        "from irongrid.domain.messages import LaunchOrder\n"
        "from irongrid.engines.local import LocalEngine\n"
        "from irongrid.telemetry import procfs\n"
        "order = from_json(LaunchOrder, json.load(sys.stdin))\n"
        "LocalEngine(Path(sys.argv[1]), (), procfs).launch([order])\n"
    )
    launch_elsewhere(code, stage)
    stage.run()
    engine = stage.restarted()
    assert stage.phase(engine) is WorkerPhase.ALIVE
    os.kill(stage.record()["pid"], signal.SIGKILL)

    until(lambda: stage.phase(engine) is WorkerPhase.GONE, "the worker to be gone")
    assert not stage.processes()


def launch_elsewhere(code: str, stage: Stage) -> None:
    text = json.dumps(to_json(stage.order()))
    subprocess.run([sys.executable, "-c", code, str(stage.home)], input=text, text=True, check=True)


def test_a_worker_that_is_just_starting_is_not_gone_for_another_server(stage: Stage) -> None:
    # The server is killed between the worker's start and the worker's file.
    stage.engine.launch([stage.order()])
    engine = stage.restarted()
    while not stage.server.facts:
        assert stage.phase(engine) is WorkerPhase.ALIVE
        time.sleep(0.002)
    assert stage.phase(engine) is WorkerPhase.ALIVE


def test_homes_with_the_same_job_ids_leave_each_other_alone(
    stages: Callable[[str], Stage],
) -> None:
    mine, theirs = stages("mine"), stages("theirs")
    for stage in (mine, theirs):
        stage.engine.launch([stage.order()])
        stage.run()
    mine.engine.stop(JOB, 1, mine.order().placement)

    assert not mine.processes()
    assert len(theirs.processes()) == 2
    assert theirs.phase() is WorkerPhase.ALIVE


def test_what_is_the_servers_own_stays_out_of_the_workers_environment(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IRONGRID_STORE", "postgresql://user:canary-1@host/db")
    monkeypatch.setenv("IRONGRID_HANG_SCALE", "3")
    stage.engine.launch([stage.order()])
    stage.server.wait(WorkerJoined)
    pid = stage.record()["pid"]
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")

    assert b"canary-1" not in b"".join(environment)
    assert TOKEN.encode() not in b"".join(environment)
    assert TOKEN.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert b"IRONGRID_HANG_SCALE=3" in environment
    assert b"IRONGRID_DEVICE_TYPE=cpu" in environment


def test_a_refused_launch_leaves_no_worker_of_the_gang(stage: Stage) -> None:
    other = NodeId("n1")
    placement = Placement(
        shares=(NodeShare(node=NODE, devices=(0,)), NodeShare(node=other, devices=(0,)))
    )
    spec = run_spec(stage.home, *SLEEP)
    orders = [order_for(stage.home, spec, placement=placement, node=node) for node in (NODE, other)]
    attempt = stage.home / "jobs" / JOB / "attempt-1"
    attempt.mkdir(parents=True)
    (attempt / other).write_text("in the way of the second node's folder")

    with pytest.raises(EngineRefused, match="could not be started"):
        stage.engine.launch(orders)
    assert not stage.processes()
    assert stage.phase() is WorkerPhase.GONE


SHORT_OF_FILES = """
import json, os, resource, sys
from pathlib import Path
from irongrid.domain.codec import from_json
from irongrid.domain.messages import LaunchOrder
from irongrid.engines.local import LocalEngine
from irongrid.errors import EngineUnreachable
from irongrid.telemetry import procfs
order = from_json(LaunchOrder, json.load(sys.stdin))
engine = LocalEngine(Path(sys.argv[1]), (), procfs)
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1, hard))
try:
    engine.launch([order])
except EngineUnreachable:
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    engine.launch([order])
"""


def test_a_machine_that_is_short_of_something_is_asked_again_later(stage: Stage) -> None:
    launch_elsewhere(SHORT_OF_FILES, stage)

    stage.server.wait(WorkerJoined)
    assert stage.phase() is WorkerPhase.ALIVE


def test_observing_hundreds_of_living_workers_costs_next_to_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.engine.launch([stage.order()])
    stage.server.wait(WorkerJoined)
    assert stage.phase() is WorkerPhase.ALIVE

    def spent_s() -> float:
        return processor_time_s(lambda: stage.engine.observe([PLACE] * 300))

    assert at_known_pace(spent_s, 0.005) < 0.005, "of each second"


def test_a_worker_file_that_a_loss_of_power_has_torn_is_nobodys(stage: Stage) -> None:
    folder = stage.home / "jobs" / JOB / "attempt-1" / NODE
    folder.mkdir(parents=True)
    (folder / "worker.json").write_bytes(b"")
    stage.engine.launch([stage.order()])

    assert stage.phase() is WorkerPhase.GONE
    assert not stage.processes()
