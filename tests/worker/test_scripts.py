"""Scripts that know nothing of Irongrid run as under torchrun; the worker keeps out of the way."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.pace import at_known_pace
from tests.worker.conftest import Launch
from tests.worker.stage import NODE, ScriptedServer, Worker, until

from irongrid.domain.device import NodeShare, Placement
from irongrid.domain.event import RanksFinished, RanksReady, WorkerJoined
from irongrid.domain.ids import NodeId

ALL_REDUCE = """
import torch
import torch.distributed as dist
dist.init_process_group("gloo")
total = torch.tensor([dist.get_rank() + 1.0])
dist.all_reduce(total)
print("total", total.item(), "of", dist.get_world_size(), flush=True)
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_an_unmodified_torch_script_meets_over_two_nodes_and_in_a_second_generation(
    server: ScriptedServer, launch: Launch
) -> None:
    other = NodeId("n1")
    placement = Placement(
        shares=(NodeShare(node=NODE, devices=(0,)), NodeShare(node=other, devices=(0,)))
    )
    first = launch("python", "-c", ALL_REDUCE, placement=placement)
    joined = server.wait(WorkerJoined)
    # One scripted server hears one node; the second node's worker gets the same directives.
    second = launch("python", "-c", ALL_REDUCE, placement=placement, node=other)
    for generation in (1, 2):
        server.direct("run", generation=generation, rendezvous=joined.rendezvous)
        for worker, rank in ((first, 0), (second, 1)):
            until(totals(worker, rank, generation), f"rank {rank} of generation {generation}", 180)
    server.direct("stop", generation=2)
    assert first.wait() == second.wait() == 0


def totals(worker: Worker, rank: int, count: int) -> Callable[[], bool]:
    """Whether a rank has printed the right sum so many times."""
    return lambda: worker.log(rank).count("total 3.0 of 2") == count


@pytest.mark.slow
def test_a_worker_takes_less_than_a_hundredth_of_a_core(
    server: ScriptedServer, launch: Launch
) -> None:
    code = (
        "import time; from irongrid import session\n"
        "session.phase('step')\n"
        "for step in range(10**6): session.progress(step, loss=1.0); time.sleep(0.1)"
    )
    worker = launch("python", "-c", code, ranks=2)
    server.direct("run")
    server.wait(RanksReady)
    pid = worker.process.pid

    def share() -> float:
        before_s, began_s = cpu_s(pid), time.monotonic()
        seen = len(server.reports)
        until(lambda: len(server.reports) >= seen + 15, "fifteen beats")
        return (cpu_s(pid) - before_s) / (time.monotonic() - began_s)

    assert at_known_pace(share, 0.01) < 0.01


def cpu_s(pid: int) -> float:
    """Processor time that a process has used."""
    text = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(text[11]) + int(text[12])) / os.sysconf("SC_CLK_TCK")


def test_the_port_of_the_rendezvous_stays_free_for_rank_0(
    server: ScriptedServer, launch: Launch
) -> None:
    # Others ask the kernel for ports all the while; rank 0 must still be able to listen.
    code = (
        "import os, socket\n"
        "busy = [socket.create_server(('127.0.0.1', 0)) for _ in range(300)]\n"
        "port = int(os.environ['MASTER_PORT'])\n"
        "assert port not in {each.getsockname()[1] for each in busy}\n"
        "socket.create_server(('127.0.0.1', port)); print('listens')"
    )
    worker = launch("python", "-c", code)
    joined = server.wait(WorkerJoined)
    server.direct("run", rendezvous=joined.rendezvous)
    server.wait(RanksFinished)

    assert worker.log() == "listens\n"
