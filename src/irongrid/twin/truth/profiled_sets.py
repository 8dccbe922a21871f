"""Readers of the sia and pollux sets: jobs with measured profiles, in their users' own sizes.

Rules: `data/sia/README.md` and `data/pollux/README.md`. Jobs are rigid here: the gang size and the
batch are the user's.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from irongrid.domain.device import Node
from irongrid.domain.job import AdaptiveBatch, LocalBatch
from irongrid.errors import Problem, SpecError
from irongrid.twin.data import data_folder
from irongrid.twin.fleets import pool, sia_cluster
from irongrid.twin.truth.applications import Application, load_applications, pollux_rules
from irongrid.twin.truth.elastic import ElasticFutures
from irongrid.twin.truth.isolated import load_isolated
from irongrid.twin.truth.profiled import ProfiledFutures
from irongrid.twin.truth.tables import bad, number, rows
from irongrid.twin.truth.traces import Elastic, Workload
from irongrid.twin.truth.world import Futures, TraceJob

_NCF_BATCH = 32768


def sia(path: Path) -> Workload:
    """Jobs on 6x4 T4, 3x8 RTX 2080 Ti and 2x8 A100.

    Raises:
        SpecError: the file is absent or broken.
    """
    folder = data_folder("sia")
    applications = load_applications(folder)
    fleet = sia_cluster(folder, "heterogeneous-64")
    return Workload(
        jobs=_jobs(path, applications),
        history=(),
        nodes=len(fleet),
        rules={"cluster": "heterogeneous-64", "jobs": "rigid", "restart_s": "by application"},
        fleet=partial(_only, fleet),
        futures=partial(_futures, applications),
        elastic=Elastic(partial(_elastic, applications), adaptive_batches(applications)),
        isolated=load_isolated(folder, fleet),
    )


def pollux(path: Path) -> Workload:
    """Jobs on nodes of four T4, 16 of them; each start costs 30 s.

    Raises:
        SpecError: the file is absent or broken.
    """
    applications = {
        name: pollux_rules(application)
        for name, application in load_applications(data_folder("sia")).items()
    }
    return Workload(
        jobs=_jobs(path, applications, ncf_on_one=True),
        history=(),
        nodes=16,
        rules={"cluster": "nodes of 4 T4", "jobs": "rigid", "restart_s": 30},
        fleet=partial(pool, device_type="aws", devices=4),
        futures=partial(_futures, applications),
        elastic=Elastic(
            partial(_elastic, applications), adaptive_batches(applications), rigid=("ncf",)
        ),
    )


def _only(fleet: tuple[Node, ...], nodes: int) -> tuple[Node, ...]:
    if nodes != len(fleet):
        problem = f"this set runs on a mixed cluster of {len(fleet)} nodes"
        raise SpecError([Problem(field="--nodes", problem=problem, fix="Leave --nodes out")])
    return fleet


def _futures(applications: Mapping[str, Application], nodes: tuple[Node, ...]) -> Futures:
    return ProfiledFutures(nodes, applications)


def _elastic(applications: Mapping[str, Application], nodes: tuple[Node, ...]) -> ElasticFutures:
    return ElasticFutures(nodes, applications)


def adaptive_batches(applications: Mapping[str, Application]) -> dict[str, AdaptiveBatch]:
    """What a user of each application says of it when the job is submitted."""
    return {
        name: AdaptiveBatch(
            application=name,
            init_batch_size=application.init_batch_size,
            max_batch_size=application.max_batch_size,
            local=tuple(
                LocalBatch(device_type=kind, least=limits.min_local_bsz, most=limits.max_local_bsz)
                for kind, limits in sorted(application.limits.items())
            ),
            restart_s=float(application.restart_delay_s),
        )
        for name, application in applications.items()
    }


def _jobs(
    path: Path, applications: Mapping[str, Application], *, ncf_on_one: bool = False
) -> tuple[TraceJob, ...]:
    found = []
    columns = ("name", "time", "application", "num_replicas", "batch_size")
    for line, row in rows(path, columns):
        name = row["application"]
        if name not in applications:
            fix = f"Use one of {', '.join(applications)}"
            raise bad(path, line, "application", f"unknown application {name!r}", fix)
        submit_s, gpus, batch = (number(path, line, row, c) for c in columns[1:2] + columns[3:])
        if gpus < 1 or gpus != int(gpus) or batch < gpus:
            problem = f"{gpus:g} GPUs for a batch of {batch:g}"
            raise bad(path, line, "num_replicas", problem, "Write a whole number, 1 to the batch")
        if ncf_on_one and name == "ncf":
            gpus, batch = 1, _NCF_BATCH
        found.append(
            TraceJob(
                row["name"], submit_s, name, int(gpus), application=name, batch_size=int(batch)
            )
        )
    return tuple(sorted(found, key=lambda job: job.submit_s))
