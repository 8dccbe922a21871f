"""What a live server's log tells: who asked for what and when, and how long it then ran."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from irongrid.control.apply import apply
from irongrid.control.state import Job, State
from irongrid.domain.device import Node
from irongrid.domain.event import Decided, Recorded
from irongrid.domain.job import JobState
from irongrid.errors import Problem, SpecError
from irongrid.forecast.durations import Durations
from irongrid.twin.truth.world import TraceJob
from irongrid.units import NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """A log, ready to be replayed; moments are seconds from the first submit.

    Attributes:
        nodes: of the fleet that the log names last.
        policy: the one that decided last; empty where nothing was decided.
        start_s: median time from a decision until ranks worked.
        wait_s, jct_s: by job's key, as they were; of the jobs that succeeded.
        notes: what was assumed or left out, a sentence each.
    """

    jobs: tuple[TraceJob, ...]
    nodes: tuple[Node, ...]
    policy: str
    start_s: float
    wait_s: dict[str, float]
    jct_s: dict[str, float]
    notes: tuple[str, ...]


def learn(records: Iterable[Recorded], source: str) -> Learnt:
    """Fold a log, and take from it what a replay needs.

    Raises:
        SpecError: the log holds no job that has run, or no fleet.
    """
    state, policy, end_ns = State(), "", 0
    for record in records:
        apply(state, record)
        end_ns = record.at_ns
        if isinstance(record.event, Decided):
            policy = record.event.decision.policy
    if not state.nodes:
        raise _unfit(source, "names no fleet", "Export the whole log, without --after")
    reader = _Reader(state, end_ns)
    jobs = reader.jobs()
    if not jobs:
        raise _unfit(source, "holds no job that has run", "Export it when jobs have ended")
    return Learnt(
        jobs=jobs,
        nodes=tuple(state.nodes.values()),
        policy=policy,
        start_s=reader.start_s,
        wait_s=reader.wait_s,
        jct_s=reader.jct_s,
        notes=tuple(reader.notes()),
    )


def _unfit(source: str, problem: str, fix: str) -> SpecError:
    return SpecError([Problem(field="", problem=problem, fix=fix, source=source)])


class _Reader:
    """Jobs of a folded log, and how each was understood."""

    def __init__(self, state: State, end_ns: int) -> None:
        self._state = state
        self._end_ns = end_ns
        self._durations = Durations()
        self._counts: Counter[str] = Counter()
        self.wait_s: dict[str, float] = {}
        self.jct_s: dict[str, float] = {}
        starts = [
            job.account.starting_ns / NS_PER_S / job.epoch
            for job in state.jobs.values()
            if job.epoch and job.account.starting_ns
        ]
        self.start_s = round(float(np.median(starts)), 3) if starts else 0.0

    def jobs(self) -> tuple[TraceJob, ...]:
        """Those that can be replayed, in the order of their submits."""
        jobs = list(self._state.jobs.values())
        for job in jobs:
            if job.state is JobState.SUCCEEDED:
                self._durations.learn(job.spec.name, _gang(job), self._worked_s(job))
        if not any(job.epoch for job in jobs):
            return ()
        began_ns = min(job.submitted_at_ns for job in jobs)
        out = []
        for job in jobs:
            service_s = self._service_s(job)
            if service_s is None:
                continue
            need = job.spec.resources
            self._counts["elastic"] += len(need.sizes) > 1
            out.append(
                TraceJob(
                    job.id,
                    (job.submitted_at_ns - began_ns) / NS_PER_S,
                    job.spec.name,
                    _gang(job),
                    service_s,
                    device_type="" if need.accelerator == "any" else need.accelerator,
                    cpus=need.cpus,
                    memory_bytes=need.memory_bytes,
                )
            )
        return tuple(sorted(out, key=lambda job: job.submit_s))

    def _worked_s(self, job: Job) -> float:
        """From launch to end without what was lost: what the job would need again."""
        account = job.account.at(self._end_ns)
        start_s = account.starting_s / job.epoch if job.epoch else 0.0
        return start_s + account.running_s + account.checkpoint_stall_s

    def _service_s(self, job: Job) -> float | None:
        """How long it will run; None where that says nothing of the job."""
        worked_s = self._worked_s(job)
        if job.state is JobState.SUCCEEDED:
            self._counts["succeeded"] += 1
            self.jct_s[job.id] = (job.ended_at_ns - job.submitted_at_ns) / NS_PER_S
            self.wait_s[job.id] = job.account.at(self._end_ns).queued_s
            self._counts["paused"] += job.account.paused_ns > 0
            self._counts["failures"] += job.account.lost_ns + job.account.recovering_ns > 0
            return worked_s
        if job.state.final:
            if not job.epoch:
                self._counts["never_ran"] += 1
                return None
            self._counts["cut"] += 1
            return worked_s
        predicted_s = self._durations.predicted_s(job.spec.name, _gang(job))
        if predicted_s is None and not job.epoch:
            self._counts["unknown"] += 1
            return None
        self._counts["unfinished"] += 1
        return max(worked_s, predicted_s or 0.0)

    def notes(self) -> list[str]:
        """What was assumed, and what was left out."""
        return [words.format(count=f"{self._counts[name]:,}") for name, words in _NOTES.items()
                if self._counts[name]]  # fmt: skip


_NOTES = {
    "succeeded": "{count} jobs that succeeded run as long as they did.",
    "cut": "{count} jobs that failed or were cancelled run as long as they had, and then end.",
    "unfinished": "{count} jobs had not ended: each gets the median of the ended jobs most like it "
    "(name and size, or size), at least what it has run already.",
    "unknown": "{count} jobs are left out: they wait, and no ended job says how long they run.",
    "never_ran": "{count} jobs are left out: they were cancelled before they ran.",
    "elastic": "{count} jobs could have had other sizes; each keeps the one that it got last.",
    "paused": "{count} jobs were paused by people; nobody pauses them here.",
    "failures": "{count} jobs lost work to failures; nothing fails here.",
}


def _gang(job: Job) -> int:
    """The size that it had last, or the smallest that it asked for."""
    attempt = job.attempt or (job.past[-1] if job.past else None)
    return job.spec.resources.sizes[0] if attempt is None else attempt.placement.world_size


def gaps(learnt: Learnt, keys: tuple[str, ...], jct_s: Any, queue_s: Any) -> dict[str, Any]:
    """How far the twin's replay of the log is from the log itself, over jobs that succeeded."""
    mine = [at for at, key in enumerate(keys) if key in learnt.jct_s]
    if not mine:
        return {"jobs": 0}
    recorded_s = np.array([learnt.jct_s[keys[at]] for at in mine])
    waits_s = np.array([learnt.wait_s[keys[at]] for at in mine])
    replayed_s = np.asarray(jct_s)[mine]
    return {
        "jobs": len(mine),
        "recorded_avg_jct_s": round(float(recorded_s.mean()), 3),
        "replayed_avg_jct_s": round(float(replayed_s.mean()), 3),
        "recorded_avg_queue_s": round(float(waits_s.mean()), 3),
        "replayed_avg_queue_s": round(float(np.asarray(queue_s)[mine].mean()), 3),
        "median_error_s": round(float(np.median(np.abs(replayed_s - recorded_s))), 3),
    }
