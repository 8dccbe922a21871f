"""Ranks of the recipe are forked from a warm process, which the worker must not lose unnoticed."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from tests.worker.conftest import Launch
from tests.worker.stage import ScriptedServer, Worker, until
from tests.worker.test_worker import AT_ONCE_S

from irongrid.domain.event import (
    CheckpointCommitted,
    GangFailed,
    ProgressMade,
    RanksReady,
    RanksStarted,
    RanksStopped,
    WorkerJoined,
)
from irongrid.domain.failure import FailureCode
from irongrid.domain.job import CheckpointPolicy, JobSpec, Resources, TrainTask
from irongrid.domain.model import ModelShape
from irongrid.telemetry import cgroup, procfs

TINY = ModelShape(layers=2, hidden=32, heads=2, kv_heads=1, ffn=64, vocab=300)
TORCH_S = 180.0  # Importing torch on a machine that others use too.


def train_spec(folder: Path, resources: Resources | None = None) -> JobSpec:
    text = "The quick brown fox jumps over the lazy dog. " * 400
    (folder / "corpus.txt").write_text(text)
    task = TrainTask(
        model=TINY, data=(str(folder / "*.txt"),), global_batch=4, seq_len=32, steps=100_000
    )
    return JobSpec(
        name="train",
        task=task,
        workdir=str(folder),
        interpreter=sys.executable,
        checkpoint=CheckpointPolicy(every_steps=5),
        resources=resources or Resources(),
    )


def zygote_of(worker: Worker) -> int:
    return next(pid for pid in worker.others() if parent(pid) == worker.process.pid)


def ranks_of(worker: Worker) -> list[int]:
    """Forked ranks in their order: the first child of the zygote is the store."""
    zygote = zygote_of(worker)
    children = sorted(pid for pid in worker.others() if parent(pid) == zygote)
    return children[1:]


def parent(pid: int) -> int:
    found = procfs.stat(pid)
    return found.parent if found is not None else 0


def test_forked_ranks_train_fail_come_back_and_end_with_their_zygote(
    server: ScriptedServer, launch: Launch, tmp_path: Path
) -> None:
    worker = launch(spec=train_spec(tmp_path), ranks=2)
    joined = server.wait(WorkerJoined, TORCH_S)
    server.direct("run", rendezvous=joined.rendezvous)
    ready = server.wait(RanksReady, TORCH_S)
    server.wait(ProgressMade, TORCH_S)
    saved = server.wait(CheckpointCommitted, TORCH_S)
    assert Path(saved.path).is_dir()

    os.kill(ranks_of(worker)[1], signal.SIGKILL)
    killed_at_s = time.monotonic()
    failed = server.wait(GangFailed)
    stopped = server.wait(RanksStopped)
    failure = failed.failure
    assert (failure.code, failure.rank, failure.signal) == (FailureCode.SIGNAL, 1, "SIGKILL")
    assert failure.phase in ("step", "save", "first_step")
    assert failed.step >= saved.step
    assert server.heard_at_s[stopped.n] - killed_at_s < AT_ONCE_S

    server.direct("run", generation=2)
    server.wait(RanksStarted, after=stopped.n)
    again = server.wait(RanksReady, TORCH_S, after=stopped.n)
    assert (ready.resumed_step, again.generation) == (0, 2)
    assert again.resumed_step >= saved.step
    assert "going on from step" in until(lambda: worker.log(), "the log of both generations")

    os.kill(zygote_of(worker), signal.SIGKILL)
    lost = server.wait(GangFailed, after=again.n).failure
    assert lost.code is FailureCode.WORKER_LOST
    assert "has ended with SIGKILL" in lost.message
    assert worker.wait() == 0, "another worker has to take over"
    assert not worker.others()


def test_a_runtime_that_cannot_be_imported_says_why(
    server: ScriptedServer, launch: Launch, tmp_path: Path
) -> None:
    (tmp_path / "broken" / "torch").mkdir(parents=True)
    (tmp_path / "broken" / "torch" / "__init__.py").write_text("raise ImportError('half of it')")
    environment = {"PYTHONPATH": str(tmp_path / "broken")}
    worker = launch(spec=train_spec(tmp_path), environment=environment)
    failed = server.wait(GangFailed)

    assert failed.generation == 1
    assert failed.failure.code is FailureCode.START_FAILED
    assert failed.failure.stderr_tail[-1] == "ImportError: half of it"
    assert worker.wait() == 0


@pytest.mark.slow
def test_a_stopped_rank_of_the_recipe_is_a_hang(
    server: ScriptedServer, launch: Launch, tmp_path: Path
) -> None:
    environment = {"IRONGRID_HANG_SCALE": "0.4"}
    worker = launch(spec=train_spec(tmp_path), ranks=2, environment=environment)
    joined = server.wait(WorkerJoined, TORCH_S)
    server.direct("run", rendezvous=joined.rendezvous)
    server.wait(CheckpointCommitted, TORCH_S)
    os.kill(ranks_of(worker)[0], signal.SIGSTOP)
    failure = server.wait(GangFailed, TORCH_S).failure
    server.wait(RanksStopped)

    assert (failure.code, failure.rank) == (FailureCode.HANG, 0)
    assert "its process is stopped" in failure.message


@pytest.mark.slow
def test_a_forked_rank_is_bounded_by_its_cgroup(
    server: ScriptedServer, launch: Launch, tmp_path: Path
) -> None:
    if not cgroup.usable(("memory",)):
        assert os.environ.get("CI") != "true", "run the tests as root"
        pytest.skip("no cgroups that this user may use: run the tests as root")
    # Too little for any rank, so it is the kernel that ends it.
    spec = train_spec(tmp_path, Resources(memory_bytes=16 * 2**20))
    launch(spec=spec)
    joined = server.wait(WorkerJoined, TORCH_S)
    server.direct("run", rendezvous=joined.rendezvous)
    failure = server.wait(GangFailed, TORCH_S).failure

    assert failure.code is FailureCode.OUT_OF_MEMORY
    assert failure.memory_limit_bytes == 16 * 2**20
