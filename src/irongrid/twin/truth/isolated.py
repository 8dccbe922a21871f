"""Finish-time fairness: how long a job took, over how long it would have taken on its fair share.

rho = JCT / isolated runtime on (devices / mean active jobs) devices of each type, averaged over the
types by their device counts; isolated runtimes are measured profiles at the best batch sizes
(`data/sia/isolated-runtime.csv`). Active jobs are those that wait or run, on average over the
job's own lifetime. With Gavel's recorded run this gives the figures of `data/sia/baselines.csv`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from irongrid.domain.device import Node
from irongrid.twin.truth.tables import number, rows


class Isolated:
    """Runtimes of each application alone, by type and number of GPUs."""

    def __init__(self, runtimes: Mapping[tuple[str, str], np.ndarray], devices: Mapping[str, int]):
        """
        Args:
            runtimes: by application and type: columns of GPUs (ascending) and seconds.
            devices: of the cluster, by type.
        """
        self._runtimes = runtimes
        self._devices = devices

    def runtime_s(self, application: str, active_jobs: float) -> float:
        """On the share that falls to one of so many active jobs."""
        total = sum(self._devices.values())
        share = total / active_jobs
        found = 0.0
        for kind, count in self._devices.items():
            table = self._runtimes[application, kind]
            found += count / total * float(np.interp(share, table[:, 0], table[:, 1]))
        return found

    def rho(
        self,
        applications: Sequence[str],
        submit_s: np.ndarray,
        end_s: np.ndarray,
        active_jobs: float = 0.0,
    ) -> np.ndarray:
        """Of every job of a run.

        Args:
            active_jobs: what fixes a fair share for all jobs; 0 counts for each job those that were
                active while it was.
        """
        active = mean_active(submit_s, end_s)
        if active_jobs:
            active = np.full_like(active, active_jobs)
        alone_s = [
            self.runtime_s(application, count)
            for application, count in zip(applications, active, strict=True)
        ]
        rho: np.ndarray = (end_s - submit_s) / np.array(alone_s)
        return rho


def load_isolated(folder: Path, fleet: Sequence[Node]) -> Isolated:
    """The runtimes of the sia set for a fleet.

    Raises:
        SpecError: the file is absent or broken.
    """
    path = folder / "isolated-runtime.csv"
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for line, row in rows(path, ("application", "gpu_type", "num_gpus", "isolated_runtime_s")):
        point = number(path, line, row, "num_gpus"), number(path, line, row, "isolated_runtime_s")
        found.setdefault((row["application"], row["gpu_type"]), []).append(point)
    devices: dict[str, int] = {}
    for node in fleet:
        devices[node.device_type] = devices.get(node.device_type, 0) + node.devices
    return Isolated({key: np.array(sorted(points)) for key, points in found.items()}, devices)


def mean_active(submit_s: np.ndarray, end_s: np.ndarray) -> np.ndarray:
    """For each job, how many jobs were active on average while it was."""
    times = np.concatenate([submit_s, end_s])
    steps = np.concatenate([np.ones_like(submit_s), -np.ones_like(end_s)])
    order = np.argsort(times, kind="stable")
    times, active = times[order], np.cumsum(steps[order])
    passed = np.concatenate([[0.0], np.cumsum(active[:-1] * np.diff(times))])
    lifetime = np.maximum(end_s - submit_s, 1e-9)
    job_s = np.interp(end_s, times, passed) - np.interp(submit_s, times, passed)
    found: np.ndarray = np.maximum(job_s / lifetime, 1.0)
    return found
