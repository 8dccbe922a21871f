"""One run, kept for reports: its figures, its jobs, and what was held over time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irongrid.domain.fleet import Fleet
from irongrid.domain.ids import JobId
from irongrid.twin.costs import costs
from irongrid.twin.driver import Driver
from irongrid.twin.recorder import Recorder, Seen
from irongrid.twin.replay import Observer
from irongrid.twin.report import p99
from irongrid.twin.truth.world import TraceJob
from irongrid.units import NS_PER_S

TEAMS_MAX = 200
# Jobs shorter than this would make any wait look like a huge slowdown; as in `report.summary`.
_SHORTEST_S = 10.0
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run.

    Attributes:
        figures: as `--json` prints them.
        keys, teams, ids, and the columns: one entry per job, in the order of submission.
        service_s: the work, without waits and restarts.
        fleet: None where it has no prices and no watts.
    """

    name: str
    figures: dict[str, Any]
    keys: tuple[str, ...]
    teams: tuple[str, ...]
    ids: tuple[JobId, ...]
    devices: Array
    submit_s: Array
    end_s: Array
    service_s: Array
    seen: Seen
    fleet: Fleet | None

    @property
    def jct_s(self) -> Array:
        """Completion times."""
        return np.asarray(self.end_s - self.submit_s)

    @property
    def queue_s(self) -> Array:
        """Completion time less work."""
        return np.asarray(self.jct_s - self.service_s)


def observed(
    name: str,
    jobs: Sequence[TraceJob],
    fleet: Fleet | None,
    run: Callable[[Observer], dict[str, Any]],
) -> Run:
    """Run something, look on, and keep what reports need.

    Args:
        run: runs with an observer, and gives the figures.
    """
    recorder, kept = Recorder(), _Keeper()

    def both(driver: Driver) -> None:
        recorder(driver)
        kept(driver)

    figures = run(both)
    seen = recorder.seen()
    by_key = {job.key: job for job in jobs}
    driver = kept.driver
    ended = list(driver.state.jobs.values())
    rows = [by_key[job.key] for job in ended]
    made = Run(
        name=name,
        figures=figures,
        keys=tuple(job.key for job in ended),
        teams=tuple(row.team or row.group for row in rows),
        ids=tuple(job.id for job in ended),
        devices=np.array([row.gpus for row in rows], dtype=float),
        submit_s=np.array([job.submitted_at_ns for job in ended]) / NS_PER_S,
        end_s=np.array([job.ended_at_ns for job in ended]) / NS_PER_S,
        service_s=np.array([driver.futures.service_s(job.id) for job in ended]),
        seen=seen,
        fleet=fleet,
    )
    figures |= _bill(made) | {"teams": teams(made)}
    return made


class _Keeper:
    """Remembers the driver of a run."""

    driver: Driver

    def __call__(self, driver: Driver) -> None:
        self.driver = driver


def _bill(run: Run) -> dict[str, Any]:
    if run.fleet is None:
        return {"held_usd": None, "fleet_usd": None, "energy_kwh": None, "carbon_kg": None}
    span_s = float(run.end_s.max() - run.submit_s.min())
    return costs(run.fleet, list(run.seen.held_device_s), span_s)


def teams(run: Run) -> list[dict[str, Any]]:
    """What each team got, the largest first; at most `TEAMS_MAX` of them."""
    names, group = np.unique(np.array(run.teams), return_inverse=True)
    held_s = np.bincount(group, weights=[run.seen.job_device_s.get(job, 0.0) for job in run.ids])
    slowdown = run.jct_s / np.maximum(run.service_s, _SHORTEST_S)
    found = []
    for at in np.argsort(-held_s, kind="stable")[:TEAMS_MAX]:
        mine = group == at
        found.append(
            {
                "team": str(names[at]),
                "jobs": int(mine.sum()),
                "device_hours": round(float(held_s[at]) / 3600, 3),
                "avg_jct_s": round(float(run.jct_s[mine].mean()), 3),
                "avg_queue_s": round(float(run.queue_s[mine].mean()), 3),
                "p99_queue_s": round(p99(run.queue_s[mine]), 3),
                "mean_slowdown": round(float(slowdown[mine].mean()), 3),
            }
        )
    return found
