"""Alibaba openb (gpu-v2023): pods of parts of GPUs, whole GPUs or CPUs only, and the cluster.

Rule of the FGD authors' experiments, as in `knowledge/traces.md` 4.3: jobs come in random order
and none ends, until the next one would bring what was asked for above 130 % of the cluster's GPUs.
A list that asks for less is repeated by draws from it; of one that asks for more, random jobs are
left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from irongrid.domain.device import Node, Placement
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.job import WHOLE_MILLI
from irongrid.twin.data import data_folder
from irongrid.twin.truth.tables import bad, number, rows
from irongrid.twin.truth.world import FixedBatch, TraceJob
from irongrid.units import NS_PER_S

# What has been asked for in the end, as a share of the cluster's GPUs.
ARRIVED = 1.3
_MIB = 2**20
_NEVER_NS = 10**9 * NS_PER_S


def cluster() -> tuple[Node, ...]:
    """The 1,213 nodes with GPUs, 6,212 of them, by `nodes_gpu_node`.

    Raises:
        SpecError: the file is absent or broken.
    """
    path = data_folder("traces") / "openb-gpu-v2023" / "nodes_gpu_node.csv.gz"
    columns = ("sn", "cpu_milli", "memory_mib", "gpu", "model")
    return tuple(
        Node(
            id=NodeId(row["sn"]),
            device_type=row["model"],
            devices=int(number(path, line, row, "gpu")),
            cpus=number(path, line, row, "cpu_milli") / 1000,
            memory_bytes=int(number(path, line, row, "memory_mib")) * _MIB,
        )
        for line, row in rows(path, columns)
    )


def pods(path: Path) -> tuple[TraceJob, ...]:
    """The pods of a list, in its order.

    Raises:
        SpecError: the file is absent, broken or empty.
    """
    columns = ("pod", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli")
    found = tuple(_pod(path, line, row) for line, row in rows(path, columns))
    if not any(job.device_milli for job in found):
        raise bad(path, None, "num_gpu", "holds no pod with a GPU", "Name a list of openb")
    return found


def _pod(path: Path, line: int, row: Mapping[str, str]) -> TraceJob:
    gpus, milli = number(path, line, row, "num_gpu"), number(path, line, row, "gpu_milli")
    if gpus < 0 or gpus != int(gpus):
        raise bad(path, line, "num_gpu", f"{gpus:g} GPUs", "Write a whole number")
    if gpus and not (0 < milli <= WHOLE_MILLI and milli == int(milli)):
        problem = f"{milli:g} thousandths of a GPU"
        raise bad(path, line, "gpu_milli", problem, f"Write 1 to {WHOLE_MILLI}")
    if gpus > 1 and milli < WHOLE_MILLI:
        problem = f"{gpus:g} parts of GPUs"
        raise bad(path, line, "gpu_milli", problem, "Only one GPU can be asked for in part")
    ranks = int(gpus) or 1
    return TraceJob(
        key=row["pod"],
        submit_s=0.0,
        group=row.get("qos") or "pod",
        gpus=ranks,
        device_type=row.get("gpu_spec") or "",
        # A pod asks as a whole; a gang's ranks are alike. Rounded down by under a byte per rank.
        cpus=number(path, line, row, "cpu_milli") / 1000 / ranks,
        memory_bytes=int(number(path, line, row, "memory_mib") * _MIB) // ranks,
        device_milli=int(milli) if gpus else 0,
    )


def asked_milli(job: TraceJob) -> int:
    """Thousandths of devices that a job asks for."""
    return job.gpus * job.device_milli


def arrivals(listed: Sequence[TraceJob], devices: int, seed: int) -> tuple[TraceJob, ...]:
    """The jobs in the order in which they come, one each second."""
    draw = np.random.default_rng(seed)
    limit_milli = ARRIVED * devices * WHOLE_MILLI
    total_milli = sum(asked_milli(job) for job in listed)
    chosen = [listed[at] for at in draw.permutation(len(listed))]
    while total_milli > limit_milli:
        total_milli -= asked_milli(chosen.pop())
    repeats = 0
    while len(chosen) >= len(listed):
        job = listed[int(draw.integers(len(listed)))]
        if total_milli + asked_milli(job) > limit_milli:
            break
        total_milli += asked_milli(job)
        chosen.append(replace(job, key=f"{job.key}-again-{repeats}"))
        repeats += 1
    return tuple(
        replace(chosen[int(at)], submit_s=float(second))
        for second, at in enumerate(draw.permutation(len(chosen)))
    )


class EndlessFutures(FixedBatch):
    """Jobs that start at once and never end."""

    def add(self, job: JobId, row: TraceJob) -> None:
        """Nothing to know of it."""

    def startup_ns(self, job: JobId, epoch: int, placement: Placement, now_ns: int) -> int:
        """None."""
        return 0

    def begin(self, job: JobId, placement: Placement, batch: tuple[int, int], now_ns: int) -> int:
        """Far behind the last arrival."""
        return _NEVER_NS

    def stop(self, job: JobId, now_ns: int, *, saved: bool) -> int:
        """Nothing is counted."""
        return 0

    def finish(self, job: JobId, now_ns: int) -> None:
        """Never."""
        raise AssertionError(f"{job} has no end")

    def service_s(self, job: JobId) -> float:
        """Never asked for, as no job ends."""
        raise AssertionError(f"{job} has no end")


RULES: dict[str, Any] = {
    "cluster": "the 1,213 nodes with GPUs",
    "arrivals": f"random order, up to {ARRIVED:.0%} of the GPUs",
    "ends": "none",
    "per_rank": "CPUs and memory of a pod in equal parts",
}
