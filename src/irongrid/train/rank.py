"""A rank from its start to its end: `python -m irongrid.train.rank`, under torchrun's variables.

Exit codes: 0 when all steps are done; 75 when told to stop before; 2 when the job's own input is
wrong; 76 when another rank was lost; 1 for everything else.
"""

import os
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import Store

from irongrid import session
from irongrid.errors import Fenced, IrongridError, Problem, SpecError
from irongrid.session.protocol import LOST_PEER_EXIT
from irongrid.train.checkpoint.interval import Pacer
from irongrid.train.checkpoint.layout import Manifest
from irongrid.train.checkpoint.reader import Restored, restore
from irongrid.train.checkpoint.state import Stage, state_of
from irongrid.train.checkpoint.writer import CheckpointWriter, Identity, begin_epoch
from irongrid.train.config import Seat, TrainConfig, config_from, seat_from
from irongrid.train.dataset import open_dataset
from irongrid.train.gang import Gang, device_of, generation_store, join
from irongrid.train.layout import plan_for
from irongrid.train.loop import Trainer
from irongrid.train.metrics import NAME, MetricsFile
from irongrid.train.optimizer import Optimizer
from irongrid.train.report import Report
from irongrid.train.sharded import ShardedModel, build, fill

STOPPED = 75  # EX_TEMPFAIL of sysexits.h: not done, try again later.
BAD_INPUT = 2
# A rank whose peer died waits for its worker to find the one that died first, and to end it.
_LOST_PEER_WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class _Standing:
    """Model and state of a rank, as the last checkpoint or the seed has them."""

    model: ShardedModel
    optimizer: Optimizer
    stage: Stage
    restored: Restored


def main(environ: Mapping[str, str]) -> int:
    """Train as the environment says; the exit code."""
    try:
        seat = seat_from(environ, len(os.sched_getaffinity(0)))
        config = config_from(environ)
        # torchrun counts by itself; where there is a worker, both are the same.
        restarts = environ.get("TORCHELASTIC_RESTART_COUNT", str(config.generation))
        config = replace(config, generation=int(restarts))
        os.chdir(config.workdir)
        return 0 if train(config, seat) else STOPPED
    except Fenced as error:
        sys.stderr.write(f"irongrid: {error}\n")
        return STOPPED
    except IrongridError as error:
        sys.stderr.write(f"irongrid: {error}\n")
        return BAD_INPUT
    except RuntimeError as error:
        if not _is_lost_peer(error):
            raise
        sys.stderr.write(f"irongrid: lost another rank: {error}\n")
        if "IRONGRID_SOCKET" in environ:
            time.sleep(_LOST_PEER_WAIT_S)
        return LOST_PEER_EXIT


def train(config: TrainConfig, seat: Seat) -> bool:
    """Train from the last checkpoint to the end; False when told to stop before it."""
    session.phase("build")
    torch.set_num_threads(seat.threads)
    device = device_of(seat)
    plan = plan_for(config.task, seat.world_size, device.type)
    gang = join(seat, device, plan, config.generation)
    stream = open_dataset(config, gang)
    order = stream.order(
        seq_len=config.task.seq_len,
        held_out_fraction=config.task.eval_fraction,
        seed=config.task.seed,
    )
    standing = _stand(config, gang, stream.meta.key)
    manifest = standing.restored.manifest
    done = manifest.step if manifest is not None else 0
    report = Report(config.task.steps, speaks=gang.leads)
    report.line(_headline(config, gang, manifest))
    metrics = MetricsFile(Path(config.job_dir) / NAME, done) if gang.leads else None
    trainer = Trainer(
        task=config.task,
        gang=gang,
        model=standing.model,
        optimizer=standing.optimizer,
        stream=stream,
        order=order,
        writer=_writer(config, gang, standing, stream.meta.key),
        pacer=_pacer(config, seat, standing),
        metrics=metrics,
        report=report,
    )
    session.ready(resumed_step=done, reached_step=metrics.reached_step if metrics else 0)
    finished = trainer.run(done)
    gang.all_agree(True)  # Nobody leaves while another still needs it.
    return finished


def _stand(config: TrainConfig, gang: Gang, data_key: str) -> _Standing:
    """Build the model and bring its state to where the job stands."""
    task, root = config.task, config.checkpoint_dir
    model = build(task.model, gang.plan, gang.mesh, gang.device)
    optimizer = Optimizer(model.shards, task.weight_decay)
    state = state_of(model.shards, optimizer)
    session.phase("load")
    if gang.leads:
        begin_epoch(root, config.epoch)
    restored = restore(root, gang, state, config.epoch)
    for damage in restored.damaged:
        if damage.problem:
            session.checkpoint_failed(
                step=damage.place.step, code="damaged", message=damage.problem
            )
            sys.stderr.write(f"irongrid: checkpoint {damage.place} is damaged: {damage.problem}\n")
    if restored.manifest is None:
        fill(model.shards, task.model.layers, task.seed)
        optimizer.reset()
    else:
        _check_same_data(restored.manifest, data_key)
        optimizer.set_step(restored.manifest.step)
    stage = Stage(state if gang.rank in gang.writers else [])
    return _Standing(model, optimizer, stage, restored)


def _writer(
    config: TrainConfig, gang: Gang, standing: _Standing, data_key: str
) -> CheckpointWriter:
    identity = Identity(
        job=config.job,
        epoch=config.epoch,
        generation=config.generation,
        world_size=gang.plan.world_size,
        rank=gang.rank,
        writers=gang.writers,
        model=config.task.model,
        seq_len=config.task.seq_len,
        data_key=data_key,
        parent=_parent(config.epoch, standing.restored.manifest),
        restarts=_restarts(standing.restored.manifest),
        keep=max(1, config.checkpoint.keep),
        damaged=frozenset(damage.place for damage in standing.restored.damaged),
    )

    def connect() -> Store | None:
        if gang.store is None:
            return None
        return generation_store(gang.seat, config.generation)

    return CheckpointWriter(config.checkpoint_dir, identity, standing.stage, connect)


def _pacer(config: TrainConfig, seat: Seat, standing: _Standing) -> Pacer:
    manifest = standing.restored.manifest
    return Pacer(
        policy=config.checkpoint,
        nodes=max(1, seat.world_size // seat.local_world_size),
        size_bytes=len(standing.stage.stream()),
        started_s=time.monotonic(),
        failures=_restarts(manifest),
        earlier_s=manifest.running_s if manifest is not None else 0.0,
    )


def _parent(epoch: int, manifest: Manifest | None) -> tuple[int, ...]:
    """What this epoch goes back to: another epoch's checkpoint, or what its own already named."""
    if manifest is None:
        return ()
    return manifest.parent if manifest.epoch == epoch else (manifest.epoch, manifest.step)


def _restarts(manifest: Manifest | None) -> int:
    return manifest.restarts + 1 if manifest is not None else 0


def _check_same_data(manifest: Manifest, data_key: str) -> None:
    if manifest.data_key != data_key:
        problem = "the checkpoint counts its steps on another corpus"
        fix = "Bring back the text files of the job's first start"
        raise SpecError([Problem(field="train.data.path", problem=problem, fix=fix)])


def _headline(config: TrainConfig, gang: Gang, manifest: Manifest | None) -> str:
    plan = gang.plan
    start = f"going on from step {manifest.step}" if manifest is not None else "fresh start"
    return (
        f"{config.task.model.parameters:,} parameters on {plan.world_size} ranks "
        f"(dp_replicate {plan.dp_replicate}, dp_shard {plan.dp_shard}, micro-batch "
        f"{plan.micro_batch} x {plan.grad_accum}, {plan.precision}, {gang.device.type}): {start}"
    )


def _is_lost_peer(error: RuntimeError) -> bool:
    """Whether a collective failed because a peer went: gloo has no error class of its own."""
    text = str(error)
    return isinstance(error, dist.DistError) or "gloo" in text or "NCCL" in text


def run_and_exit(environ: Mapping[str, str]) -> NoReturn:
    """Train, let the last lines leave, and end at once.

    `os._exit`: at interpreter exit torch's threads may abort the process although all went well.
    """
    code = 1
    try:
        code = main(environ)
    except BaseException:
        traceback.print_exc()
    session.close()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    run_and_exit(os.environ)
