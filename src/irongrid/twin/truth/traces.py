"""Readers of recorded traces: who asked for what and when, and how long it then ran.

Rules of each data set: `knowledge/traces.md`, section 4, and the README beside the files.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from irongrid.domain.device import Node
from irongrid.domain.job import AdaptiveBatch
from irongrid.twin.data import data_folder
from irongrid.twin.fleets import pool
from irongrid.twin.truth.elastic import ElasticFutures
from irongrid.twin.truth.futures import RestartCosts, RigidFutures
from irongrid.twin.truth.isolated import Isolated
from irongrid.twin.truth.tables import bad, number, rows
from irongrid.twin.truth.world import Futures, TraceJob

# Of the pool on which the baselines of traces.md 4.1 were measured.
PHILLY_NODES = 72
_RULES = {
    "pool": "one, nodes of 8",
    "restart_s": {"1": 7, "2-8": 30, "more": 60},
    "first_start_s": 0,
}


def rigid_futures(nodes: tuple[Node, ...]) -> Futures:
    """Jobs that run as long as the trace says, on any node, and pay for restarts by their size."""
    return RigidFutures(RestartCosts())


@dataclass(frozen=True, slots=True)
class Elastic:
    """How the jobs of a set are replayed when their size is free.

    Attributes:
        futures: the truth of its jobs on a fleet, at any size.
        batches: what users say of each application.
        rigid: applications that keep the user's size and batch all the same.
    """

    futures: Callable[[tuple[Node, ...]], ElasticFutures]
    batches: Mapping[str, AdaptiveBatch]
    rigid: tuple[str, ...] = ()

    def adaptive(self, job: TraceJob) -> AdaptiveBatch:
        """What the user of a job says of it."""
        found = self.batches[job.application]
        if job.application not in self.rigid:
            return found
        return replace(found, init_batch_size=job.batch_size, max_batch_size=job.batch_size)


@dataclass(frozen=True, slots=True)
class Workload:
    """A trace, ready to be replayed.

    Attributes:
        history: jobs that had ended before the window began; they are never replayed.
        nodes: of the cluster on which the set is replayed by default.
        fleet: the cluster with another number of nodes.
        futures: the truth of its jobs on a fleet.
        elastic: the same jobs at any size; None where nothing says how fast that would be.
        isolated: runtimes of its applications alone, where they were measured.
    """

    jobs: tuple[TraceJob, ...]
    history: tuple[TraceJob, ...]
    nodes: int
    rules: dict[str, Any]
    fleet: Callable[[int], tuple[Node, ...]] = pool
    futures: Callable[[tuple[Node, ...]], Futures] = rigid_futures
    elastic: Elastic | None = None
    isolated: Isolated | None = None


def philly(path: Path) -> Workload:
    """Microsoft Philly as one pool. Rows before second 0 are history only.

    Raises:
        SpecError: the file is absent or broken.
    """
    found = [
        _job(path, line, row["job_id"], row["vc"], row)
        for line, row in rows(path, ("job_id", "submit_s", "vc", "gpus", "duration_s"))
    ]
    return Workload(
        jobs=tuple(sorted((job for job in found if job.submit_s >= 0), key=_submitted)),
        history=tuple(job for job in found if job.submit_s < 0),
        nodes=PHILLY_NODES,
        rules={**_RULES, "rows_before_second_0": "history only"},
    )


def helios_venus(path: Path) -> Workload:
    """SenseTime Helios, one or more virtual clusters of Venus.

    Raises:
        SpecError: a file is absent or broken, or names a cluster without a size.
    """
    columns = ("job_id", "submit_s", "user", "vc", "gpus", "duration_s")
    found, clusters = [], set()
    for line, row in rows(path, columns):
        found.append(_job(path, line, row["job_id"], row["user"], row))
        clusters.add(row["vc"])
    sizes_path = data_folder("traces") / "helios-venus" / "vc_nodes.csv.gz"
    sizes = {
        row["vc"]: int(number(sizes_path, line, row, "nodes"))
        for line, row in rows(sizes_path, ("vc", "nodes"))
    }
    if unknown := sorted(clusters - set(sizes)):
        raise bad(path, None, "vc", f"{unknown[0]} has no size", "Use --nodes N")
    return Workload(
        jobs=tuple(sorted((job for job in found if job.submit_s >= 0), key=_submitted)),
        history=tuple(job for job in found if job.submit_s < 0),
        nodes=sum(sizes[name] for name in clusters),
        rules=_RULES,
    )


def _submitted(job: TraceJob) -> float:
    return job.submit_s  # The sort is stable: rows of one second keep the file's order.


def _job(path: Path, line: int, key: str, group: str, row: Mapping[str, str]) -> TraceJob:
    gpus = number(path, line, row, "gpus")
    service_s = number(path, line, row, "duration_s")
    if gpus < 1 or gpus != int(gpus):
        raise bad(path, line, "gpus", f"{gpus:g} GPUs", "Write a whole number above 0")
    if service_s < 0:
        raise bad(path, line, "duration_s", f"{service_s:g} s", "Write 0 or more")
    return TraceJob(key, number(path, line, row, "submit_s"), group, int(gpus), service_s)
