"""The log of the first version of every event, which must replay for ever.

`golden/v1.ndjson` was written by the code of that version. It is never rewritten after a release: a
change of form gets a new version, an upcaster, and a file of its own.
Before the first release: IRONGRID_WRITE_GOLDEN=1 pytest tests/store/test_golden.py
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from irongrid.domain.decision import (
    Decision,
    Move,
    Outcome,
    Recover,
    Reserve,
    Start,
    Stop,
    Wait,
    WaitCode,
)
from irongrid.domain.device import Node, NodeShare, Placement
from irongrid.domain.event import (
    CancelRequested,
    CheckpointCommitted,
    CheckpointFailed,
    Decided,
    Event,
    GangFailed,
    JobSubmitted,
    LaunchAccepted,
    LaunchRefused,
    Measured,
    NodeClosed,
    NodeOpened,
    PauseRequested,
    ProgressMade,
    RanksFinished,
    RanksReady,
    RanksStarted,
    RanksStopped,
    Recorded,
    ResumeRequested,
    ServerStarted,
    ServerStopped,
    WorkerJoined,
    WorkerStopped,
)
from irongrid.domain.failure import Failure, FailureCode
from irongrid.domain.ids import NodeId, job_id
from irongrid.domain.job import (
    CheckpointPolicy,
    JobSpec,
    Resources,
    Retries,
    RetryCause,
    RunTask,
    TrainTask,
)
from irongrid.domain.model import PRESETS
from irongrid.store import EventStore, export_ndjson, import_ndjson
from irongrid.store.upcast import EVENT_TYPES

GOLDEN = Path(__file__).parent / "golden" / "v1.ndjson"

JOB = job_id(1)
NODE = NodeId("node-0")
PLACEMENT = Placement(shares=(NodeShare(node=NODE, devices=(0, 1)),))
TRAIN = JobSpec(
    name="llama",
    task=TrainTask(
        model=PRESETS["llama-1m"],
        data=("/corpus/*.txt",),
        global_batch=32,
        seq_len=256,
        steps=100,
        micro_batch=4,
        warmup_steps=10,
    ),
    workdir="/home/ann/work",
    interpreter="/usr/bin/python3",
    env_names=("OMP_NUM_THREADS",),
    resources=Resources(accelerator="H100", sizes=(1, 2), cpus=1.5, memory_bytes=2**30),
    retries=Retries(max=5, on=(RetryCause.INFRASTRUCTURE, RetryCause.USER)),
    checkpoint=CheckpointPolicy(every_steps=10, every_s=60.0, keep=3),
    max_duration_s=3600.0,
)
RUN = JobSpec(name="probe", task=RunTask(argv=("python", "train.py")), workdir="/w")
FAILURE = Failure(
    code=FailureCode.OUT_OF_MEMORY,
    message="rank 1 used 1.2 GiB of 1.0 GiB",
    node=NODE,
    rank=1,
    exit_code=137,
    signal="SIGKILL",
    phase="step",
    memory_limit_bytes=2**30,
    memory_peak_bytes=2**30,
    stderr_tail=("line 1", "Größe \x00 \udc80"),
)
ACTIONS = (
    Start(job=JOB, placement=PLACEMENT, reason="2 devices are free on node-0"),
    Recover(job=JOB, epoch=1, generation=2, reason="rank 1 was killed"),
    Move(job=JOB, epoch=1, placement=PLACEMENT, grace_s=60.0, reason="two are faster"),
    Reserve(job=job_id(2), placement=PLACEMENT),
    Stop(job=JOB, epoch=1, outcome=Outcome.REQUEUE, grace_s=5.0, reason="lost", not_before_ns=7),
    Wait(job=job_id(3), code=WaitCode.BEHIND),
)


E = TypeVar("E", bound=Event)


def gang(event: Callable[..., E], **values: object) -> E:
    """An event of the gang's first generation."""
    return event(job=JOB, epoch=1, generation=1, node=NODE, **values)


def everything() -> tuple[Event, ...]:
    """An event of each kind, with every field set."""
    node = Node(id=NODE, device_type="cpu", devices=2, cpus=2.0, memory_bytes=2**34)
    return (
        ServerStarted(server_epoch=1, irongrid_version="0.1.0", nodes=(node,)),
        JobSubmitted(job=JOB, spec=TRAIN, key="k1"),
        JobSubmitted(job=job_id(2), spec=RUN, key="k2"),
        Decided(decision=Decision(saw_seq=3, policy="gang-fifo", actions=ACTIONS)),
        LaunchAccepted(job=JOB, epoch=1),
        LaunchRefused(job=JOB, epoch=1, message="no such partition"),
        WorkerJoined(
            job=JOB, epoch=1, node=NODE, n=1, rendezvous="127.0.0.1:4711", limits="cgroup-v2"
        ),
        gang(RanksStarted, n=2),
        gang(RanksReady, n=3, resumed_step=40, reached_step=45),
        gang(ProgressMade, n=4, step=50, metrics={"loss": 2.5, "tokens_per_s": 1e5}),
        gang(
            CheckpointCommitted,
            n=5,
            step=50,
            path="epoch-1/step-50",
            size_bytes=4_000_000,
            written_bytes=1_000_000,
            age_ns=2_000_000_000,
            stall_ns=30_000_000,
        ),
        gang(CheckpointFailed, n=6, step=60, code="disk_full", message="no space left"),
        gang(GangFailed, n=7, failure=FAILURE, step=61),
        gang(RanksStopped, n=8),
        gang(RanksFinished, n=9),
        gang(
            Measured,
            n=10,
            local_bsz=32,
            accum_steps=1,
            step_s=0.25,
            sync_s=0.05,
            grad_sqr=0.5,
            grad_var=1.5,
            progress=40.5,
            data_epochs=2,
        ),
        WorkerStopped(job=JOB, epoch=1, node=NODE, proof="worker"),
        CancelRequested(job=JOB),
        PauseRequested(job=JOB),
        ResumeRequested(job=JOB),
        ServerStopped(server_epoch=1),
        NodeClosed(node=NODE, reason="the provider takes it back", leaves=True),
        NodeOpened(node=NODE),
    )


def test_the_examples_cover_every_kind() -> None:
    assert {event.kind for event in everything()} == set(EVENT_TYPES)


def test_the_golden_log_replays_for_ever(store: EventStore) -> None:
    records = [Recorded(seq, 1_000 * seq, event) for seq, event in enumerate(everything(), 1)]
    if os.environ.get("IRONGRID_WRITE_GOLDEN"):
        store.append(records)
        GOLDEN.write_text("".join(line + "\n" for line in export_ndjson(store)))
        pytest.skip(f"{GOLDEN} was written anew")

    import_ndjson(GOLDEN.read_text().splitlines(), store)

    assert list(store.read()) == records
