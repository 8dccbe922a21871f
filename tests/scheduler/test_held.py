"""Running jobs in the order in which a policy would stop them."""

from dataclasses import dataclass, field

from irongrid.domain.device import Placement
from irongrid.domain.ids import JobId
from irongrid.domain.job import JobSpec, RunTask
from irongrid.scheduler.cluster import Running
from irongrid.scheduler.held import Held

SPEC = JobSpec(name="job", task=RunTask(argv=("true",)), workdir="/")


@dataclass
class Run:
    id: JobId
    rank: float
    spec: JobSpec = SPEC
    submitted_at_ns: int = 0
    placement: Placement = field(default_factory=lambda: Placement(shares=()))

    def worked_ns(self, at_ns: int) -> int:
        return 0


def held(change_ns: int | None = None) -> Held:
    """Ranks rise by 100 at one moment."""

    def rank(run: Running, now_ns: int) -> float:
        assert isinstance(run, Run)
        return run.rank + (100 if change_ns is not None and now_ns >= change_ns else 0)

    def changes_ns(run: Running, now_ns: int) -> int | None:
        return change_ns if change_ns is not None and now_ns < change_ns else None

    return Held(rank, changes_ns)


def test_the_last_one_is_the_first_to_be_stopped() -> None:
    found = held()
    for name, rank in (("a", 2.0), ("b", 3.0), ("c", 1.0)):
        found.add(Run(JobId(name), rank), 0)

    found.remove(JobId("a"))
    found.remove(JobId("a"))

    assert found.ranked == [(1.0, "c"), (3.0, "b")]
    assert found.next_change_ns() is None


def test_a_rank_changes_at_its_moment_and_not_before() -> None:
    found = held(change_ns=50)
    found.add(Run(JobId("a"), 1.0), 0)
    found.add(Run(JobId("b"), 2.0), 60)

    assert found.next_change_ns() == 50
    found.advance(49)
    assert found.ranked == [(1.0, "a"), (102.0, "b")]
    found.advance(50)
    found.advance(50)
    assert found.ranked == [(101.0, "a"), (102.0, "b")]
    assert found.next_change_ns() is None


def test_a_job_that_runs_no_more_changes_nothing() -> None:
    found = held(change_ns=50)
    found.add(Run(JobId("a"), 1.0), 0)
    found.remove(JobId("a"))

    assert found.next_change_ns() is None
    found.advance(60)
    assert found.ranked == []
