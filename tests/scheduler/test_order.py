"""The queue in a policy's order."""

from dataclasses import dataclass

from irongrid.domain.decision import WaitCode
from irongrid.domain.ids import JobId
from irongrid.domain.job import JobSpec, Resources, RunTask
from irongrid.scheduler.order import Order, Waiting


@dataclass(frozen=True)
class Job:
    id: JobId
    spec: JobSpec
    submitted_at_ns: int = 0
    not_before_ns: int = 0
    wait_code: WaitCode = WaitCode.NEW
    epoch: int = 0

    def worked_ns(self, at_ns: int) -> int:
        return 0


def job(name: str, gpus: int) -> Job:
    task = RunTask(argv=("true",))
    return Job(
        JobId(name), JobSpec(name=name, task=task, workdir="/", resources=Resources(sizes=(gpus,)))
    )


class LargerFirst:
    """Larger gangs first, but for kinds that somebody has put behind."""

    def __init__(self) -> None:
        self.behind: dict[str, float] = {}

    def rank(self, job: Waiting) -> float:
        return -job.spec.resources.sizes[0]

    def kind(self, job: Waiting) -> str:
        return job.spec.name[0]

    def line_rank(self, kind: str, need: Resources) -> float:
        return self.behind.get(kind, 0.0)


def order(*jobs: Job, ranking: LargerFirst | None = None) -> Order:
    found = Order(ranking or LargerFirst())
    for each in jobs:
        found.add(each)
    return found


def names(walk: object) -> list[str]:
    return [key[1] for key, _ in walk]  # type: ignore[attr-defined]


def test_jobs_come_by_rank_and_then_by_age() -> None:
    found = order(job("d", 1), job("a", 1), job("c", 4), job("b", 2))

    assert names(found.walk()) == ["c", "b", "a", "d"]


def test_a_line_that_is_left_is_seen_no_more() -> None:
    found = order(job("a", 4), job("a2", 4), job("c", 2), job("d", 2), job("e", 1))
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


def test_a_whole_line_moves_when_more_is_known_of_its_kind() -> None:
    ranking = LargerFirst()
    found = order(job("a1", 1), job("a2", 1), job("b1", 1), job("b2", 4), ranking=ranking)
    assert names(found.walk()) == ["b2", "a1", "a2", "b1"]

    ranking.behind["a"] = 10.0
    assert names(found.walk()) == ["b2", "b1", "a1", "a2"]

    ranking.behind["b"] = 20.0
    assert names(found.walk()) == ["a1", "a2", "b2", "b1"]
