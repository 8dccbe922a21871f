"""The queue in a policy's order."""

from dataclasses import dataclass

from irongrid.domain.decision import WaitCode
from irongrid.domain.ids import JobId
from irongrid.domain.job import JobSpec, Resources, RunTask
from irongrid.scheduler.order import Order


@dataclass(frozen=True)
class Job:
    id: JobId
    spec: JobSpec
    submitted_at_ns: int = 0
    not_before_ns: int = 0
    wait_code: WaitCode = WaitCode.NEW

    def worked_ns(self, at_ns: int) -> int:
        return 0


def job(name: str, gpus: int) -> Job:
    task = RunTask(argv=("true",))
    return Job(
        JobId(name), JobSpec(name=name, task=task, workdir="/", resources=Resources(sizes=(gpus,)))
    )


def order(*jobs: Job) -> Order:
    """Larger gangs first."""
    found = Order(lambda job: -job.spec.resources.sizes[0])
    for each in jobs:
        found.add(each)
    return found


def names(walk: object) -> list[str]:
    return [key[1] for key, _ in walk]  # type: ignore[attr-defined]


def test_jobs_come_by_rank_and_then_by_age() -> None:
    found = order(job("d", 1), job("a", 1), job("c", 4), job("b", 2))

    assert names(found.walk()) == ["c", "b", "a", "d"]


def test_a_line_that_is_left_is_seen_no_more() -> None:
    found = order(job("a", 4), job("b", 4), job("c", 2), job("d", 2), job("e", 1))
    seen = []
    walk = found.walk()
    for (_, name), need in walk:
        seen.append(name)
        if need.sizes == (4,):
            walk.leave_line()

    assert seen == ["a", "c", "d", "e"]


def test_a_job_that_waits_no_more_is_gone_and_the_others_stay() -> None:
    found = order(job("a", 4), job("b", 4), job("c", 2))

    found.remove(JobId("a"))
    found.remove(JobId("c"))

    assert names(found.walk()) == ["b"]
    found.remove(JobId("b"))
    assert not found.lines
