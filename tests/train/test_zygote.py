"""The zygote: one thread, warm, and everything that it forked ends with it."""

import itertools
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from tests.pace import at_known_pace
from tests.train.gangs import DEADLINE_S, Job, Nest, environment, kill, until


@pytest.fixture
def own_nest(tmp_path: Path) -> Nest:
    """A zygote that the test may end."""
    return Nest(tmp_path / "own.log")


def gone(pid: int) -> bool:
    """Whether a process has ended, reaped or not."""
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_killed_gang_is_replaced_by_a_new_generation(nest: Nest, job: Job) -> None:
    pids = nest.start(job.with_(steps=100_000), 2)
    until(lambda: len(job.metrics()) >= 8, "8 steps")
    kill(pids)
    assert nest.wait(pids) == [-9, -9]
    done = len(job.metrics())

    again = nest.start(job, 2, generation=2)
    until(lambda: len(job.metrics()) > done, "new steps")
    kill(again)

    assert nest.wait(again) == [-9, -9]
    assert not set(pids) & set(again)


def test_a_rank_has_its_own_session_folder_and_environment_and_no_zygote_socket(
    nest: Nest, job: Job
) -> None:
    [pid] = nest.start(job.with_(steps=100_000), 1, extra={"IRONGRID_ATTEMPT": "j000001.1"})
    until(lambda: len(job.metrics()) >= 1, "a step")
    rank, zygote = psutil.Process(pid), psutil.Process(nest.process.pid)

    assert os.getsid(pid) == pid
    assert rank.cwd() == str(job.folder.parent)
    assert zygote.num_threads() == 1
    sockets = {os.readlink(f"/proc/{p.pid}/fd/{fd}") for p in (zygote,) for fd in fds(p.pid)}
    control = {name for name in sockets if name.startswith("socket:")}
    assert not control & {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in fds(pid)}
    assert not [fd for fd in fds(pid) if "eventfd" in os.readlink(f"/proc/{pid}/fd/{fd}")][1:]
    kill([pid])
    nest.wait([pid])


def fds(pid: int) -> list[str]:
    return os.listdir(f"/proc/{pid}/fd")


# A torch that takes itself for a build with CUDA. Each question to a driver is written down with
# its stack, and the answer is that there is none.
WITH_CUDA = """
import ctypes, os, traceback
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
import torch
def asked(what):
    with open({path!r}, "a") as file:
        file.write(what + "\\n" + "".join(traceback.format_stack(limit=12)))
def count():
    asked("CUDA")
    return 0
class Library(ctypes.CDLL):
    def __init__(self, name, *more, **options):
        if "nvidia" in str(name) or "libcuda" in str(name):
            asked(name)
        super().__init__(name, *more, **options)
ctypes.CDLL = Library
torch._C._cuda_getDeviceCount = count
torch._C._cuda_getCurrentRawStream = None
torch._C._accelerator_getAccelerator = lambda: torch.device("cuda")
torch.cuda._lazy_init = lambda: asked("CUDA")
"""


def test_the_warm_up_asks_no_driver_for_gpus_and_ranks_do(tmp_path: Path, job: Job) -> None:
    path = tmp_path / "asked"
    path.touch()
    code = WITH_CUDA.format(path=str(path)) + "from irongrid.train import zygote\nzygote.main()"
    nest = Nest(tmp_path / "log", ("-c", code))
    asked_by_the_zygote = path.read_text()
    assert nest.run(job, 2) == [0, 0]
    nest.close()

    assert asked_by_the_zygote == ""
    assert "CUDA" in path.read_text()
    assert "start afresh" not in nest.output()


@pytest.mark.parametrize("how", ["killed", pytest.param("socket closed", marks=pytest.mark.slow)])
def test_ranks_and_store_end_with_the_zygote(own_nest: Nest, job: Job, how: str) -> None:
    pids = own_nest.start(job.with_(steps=100_000), 2)
    until(lambda: len(job.metrics()) >= 1, "a step")
    children = [child.pid for child in psutil.Process(own_nest.process.pid).children()]
    assert len(children) == 3, "two ranks and the store"

    if how == "killed":
        own_nest.process.send_signal(signal.SIGKILL)
        own_nest.process.wait(DEADLINE_S)
    own_nest.close()

    until(lambda: all(gone(pid) for pid in (*children, *pids)), "the end of all children")


@pytest.mark.slow
def test_the_zygote_ends_with_its_worker(tmp_path: Path) -> None:
    code = (
        "import os, socket, subprocess, sys\n"
        "ours, theirs = socket.socketpair()\n"
        "env = os.environ | {'IRONGRID_ZYGOTE_FD': str(theirs.fileno())}\n"
        "argv = [sys.executable, '-m', 'irongrid.train.zygote']\n"
        "p = subprocess.Popen(argv, env=env, pass_fds=[theirs.fileno()])\n"
        "ours.recv(1000)\n"
        "print(p.pid, flush=True)\n"
        "ours.recv(1000)\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    pid = int(worker.stdout.readline())

    worker.kill()
    worker.wait(DEADLINE_S)

    until(lambda: gone(pid), "the end of the zygote")


@pytest.mark.slow
def test_ranks_may_start_afresh_where_forking_is_not_safe(tmp_path: Path, job: Job) -> None:
    code = (
        "import os, socket\n"
        "from irongrid.train.zygote import Zygote, exec_rank\n"
        "control = socket.socket(fileno=int(os.environ['IRONGRID_ZYGOTE_FD']))\n"
        "Zygote(control, exec_rank).serve()\n"
    )
    nest = Nest(tmp_path / "log", ("-c", code))

    assert nest.run(job, 2) == [0, 0]

    nest.close()
    assert len(job.losses()) == 12


@pytest.mark.slow
def test_torchrun_runs_and_restarts_ranks_without_a_zygote(job: Job) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    values = environment(job.with_(steps=400).config(), 0, 2, "127.0.0.1", port)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    torchrun += [f"--master-port={port}", "--max-restarts=1", "-m", "irongrid.train.rank"]
    process = subprocess.Popen(torchrun, env=values)
    until(lambda: len(job.metrics()) >= 10, "10 steps")

    ranks = [
        p for p in psutil.Process(process.pid).children() if "irongrid.train.rank" in p.cmdline()
    ]
    ranks[0].kill()

    assert process.wait(DEADLINE_S) == 0
    assert [line["step"] for line in job.metrics()] == list(range(1, 401))


@pytest.mark.slow
def test_from_fork_to_the_first_step_a_rank_uses_well_under_a_second_of_a_core(
    nest: Nest, job: Job
) -> None:
    job.with_(steps=100_000)
    generations = itertools.count(1)

    def used_s() -> float:
        before = len(job.metrics())
        pids = nest.start(job, 2, generation=next(generations))
        until(lambda: len(job.metrics()) > before, "a new step")
        used = psutil.Process(pids[0]).cpu_times()
        kill(pids)
        nest.wait(pids)
        return float(used.user + used.system)

    # Importing torch alone takes twice that.
    assert at_known_pace(used_s, 0.6) < 0.6
