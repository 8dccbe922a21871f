"""The environment of a rank: the user's own, led by what torchrun and JAX would set."""

import json
from collections.abc import Mapping

from irongrid.domain.codec import to_json
from irongrid.domain.ids import attempt_id
from irongrid.domain.job import TrainTask
from irongrid.domain.messages import LaunchOrder


def base_environment(order: LaunchOrder, inherited: Mapping[str, str]) -> dict[str, str]:
    """What every process of the job gets: inherited, then the job's own, then PATH and defaults.

    The submitter's Python leads PATH, so that `python train.py` is the Python it was for them.
    PYTHONPATH stays as it is.
    """
    base = dict(inherited) | order.environment
    if order.spec.interpreter:
        folder = order.spec.interpreter.rpartition("/")[0]
        base["PATH"] = f"{folder}:{base['PATH']}" if base.get("PATH") else folder
    base.setdefault("OMP_NUM_THREADS", "1")
    base.setdefault("PYTHONUNBUFFERED", "1")
    return base


def rank_environment(
    order: LaunchOrder,
    base: Mapping[str, str],
    *,
    local_rank: int,
    generation: int,
    rendezvous: str,
    socket_path: str,
) -> dict[str, str]:
    """The whole environment of one rank of one generation."""
    share = order.placement.share_of(order.node)
    group_rank = order.placement.shares.index(share)
    rank = order.placement.first_rank(order.node) + local_rank
    world_size = order.placement.world_size
    host, _, port = rendezvous.rpartition(":")
    ours = {
        "RANK": rank,
        "LOCAL_RANK": local_rank,
        "WORLD_SIZE": world_size,
        "LOCAL_WORLD_SIZE": len(share.devices),
        "GROUP_RANK": group_rank,
        "GROUP_WORLD_SIZE": len(order.placement.shares),
        "ROLE_RANK": rank,
        "ROLE_WORLD_SIZE": world_size,
        "ROLE_NAME": "default",
        "MASTER_ADDR": host,
        "MASTER_PORT": port,
        "TORCHELASTIC_RUN_ID": attempt_id(order.job, order.epoch),
        "TORCHELASTIC_RESTART_COUNT": generation,
        "TORCHELASTIC_MAX_RESTARTS": order.spec.retries.max,
        "JAX_COORDINATOR_ADDRESS": rendezvous,
        "JAX_NUM_PROCESSES": world_size,
        "JAX_PROCESS_ID": rank,
        "IRONGRID_JOB": order.job,
        "IRONGRID_RANK": rank,
        "IRONGRID_GENERATION": generation,
        "IRONGRID_SOCKET": socket_path,
    }
    environment = dict(base) | {name: str(value) for name, value in ours.items()}
    if base.get("IRONGRID_DEVICE_TYPE", "cpu") != "cpu":
        visible = _visible_devices(share.devices, base.get("CUDA_VISIBLE_DEVICES"))
        environment["CUDA_VISIBLE_DEVICES"] = visible
        environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # The order in which NVML counts.
    if isinstance(order.spec.task, TrainTask):
        environment["IRONGRID_TRAIN"] = _train_config(order, order.spec.task, generation)
    return environment


def _visible_devices(devices: tuple[int, ...], visible: str | None) -> str:
    """The node's share of what this machine's owner left visible; LOCAL_RANK indexes it."""
    names = visible.split(",") if visible else None
    return ",".join(names[index] if names else str(index) for index in devices)


def _train_config(order: LaunchOrder, task: TrainTask, generation: int) -> str:
    config = {
        "task": to_json(task),
        "checkpoint": to_json(order.spec.checkpoint),
        "job": order.job,
        "epoch": order.epoch,
        "generation": generation,
        "job_dir": order.job_dir,
        "cache_dir": order.cache_dir,
        "workdir": order.spec.workdir,
    }
    return json.dumps(config)
