"""A log says what a replay needs, and the replay of an unchanged log is the log."""

import pytest
from tests.twin.worlds import Small, trace

from irongrid.domain.event import CancelRequested, Decided, Event, Recorded, ServerStarted
from irongrid.domain.ids import JobId
from irongrid.errors import Refused, SpecError
from irongrid.scheduler.fifo import Fifo
from irongrid.twin.changes import Change
from irongrid.twin.fleets import pool
from irongrid.twin.learning import learn
from irongrid.twin.trials import run_trial
from irongrid.twin.whatif import answered, question, with_nodes
from irongrid.units import NS_PER_S

# On one node of eight: the first runs alone, the others wait for it, then for one another.
JOBS = trace((0, 8, 100), (10, 4, 50), (10, 8, 20), (30, 1, 10))
MORE = Change(nodes="+1")


def log_of(world: Small) -> list[Recorded]:
    """What a server would have exported; moments are wall time, far from 0."""
    nodes = world.driver.engine.nodes()
    first = ServerStarted(server_epoch=1, irongrid_version="twin", nodes=nodes)
    day_ns = 20_000 * 86_400 * NS_PER_S
    events: list[tuple[int, Event]] = [(0, first)]
    events += [(recorded.at_ns, recorded.event) for recorded in world.log]
    return [Recorded(at + 1, day_ns + at_ns, event) for at, (at_ns, event) in enumerate(events)]


@pytest.fixture
def log() -> list[Recorded]:
    return log_of(Small(1, Fifo(), JOBS))


def test_the_replay_of_a_log_is_the_log(log: list[Recorded]) -> None:
    *_, found = answered(question(log, "log", MORE), run_trial)

    gap = found["replay_of_the_log"]
    # Ends at 100, 150, 170 and 180 s.
    assert gap["recorded_avg_jct_s"] == gap["replayed_avg_jct_s"] == (100 + 140 + 160 + 150) / 4
    assert gap["recorded_avg_queue_s"] == gap["replayed_avg_queue_s"] == (90 + 140 + 140) / 4
    assert gap["median_error_s"] == 0
    assert gap["jobs"] == 4


def test_one_more_node_ends_waits_that_were_due_to_the_first_job(log: list[Recorded]) -> None:
    before, after, found = answered(question(log, "log", MORE), run_trial)

    # On two nodes the second starts at once, the third at 60 s, the fourth behind it.
    assert list(before.end_s) == [100, 150, 170, 180]
    assert list(after.end_s) == [100, 60, 80, 90]
    assert found["paired"]["earlier"] == 3
    assert found["second"]["rules"]["nodes"] == 2


def test_another_policy_is_tried_on_the_same_nodes(log: list[Recorded]) -> None:
    asked = question(log, "log", Change(policy="sjf-oracle"))

    *_, found = answered(asked, run_trial)

    assert (found["first"]["policy"], found["second"]["policy"]) == ("fifo", "sjf-oracle")
    assert found["second"]["rules"]["nodes"] == 1
    assert found["difference"]["avg_jct_s"]["absolute"] < 0


def test_a_job_that_still_runs_gets_what_such_jobs_took(log: list[Recorded]) -> None:
    same = trace((0, 4, 100), (1, 4, 60), (200, 4, 500), (210, 2, 40))
    whole = log_of(Small(1, Fifo(), same))
    # Cut where the third has run for 40 s and the fourth for 30 s.
    until = [r for r in whole if r.at_ns <= whole[0].at_ns + 240 * NS_PER_S]

    learnt = learn(until, "log")

    # Of four devices 100 and 60 s are known; of two nothing, so the median of all is taken.
    assert [job.service_s for job in learnt.jobs] == [100, 60, 80, 80]
    assert any("2 jobs had not ended" in note for note in learnt.notes)


def test_a_job_that_never_ran_is_left_out_and_counted(log: list[Recorded]) -> None:
    until = log[: next(at for at, r in enumerate(log) if r.at_ns > log[0].at_ns + 10 * NS_PER_S)]
    gone = Recorded(until[-1].seq + 1, until[-1].at_ns, CancelRequested(job=JobId("j000003")))

    learnt = learn([*until, gone], "log")

    # The first runs, the second waits and nothing is known of its kind, the third was cancelled.
    assert [job.key for job in learnt.jobs] == ["j000001"]
    assert any("1 jobs are left out: they were cancelled" in note for note in learnt.notes)
    assert any("1 jobs are left out: they wait" in note for note in learnt.notes)


def test_a_policy_that_the_twin_does_not_have_is_said(log: list[Recorded]) -> None:
    def renamed(record: Recorded) -> Recorded:
        if not isinstance(record.event, Decided):
            return record
        decision = record.event.decision
        other = type(decision)(saw_seq=decision.saw_seq, policy="ours", actions=decision.actions)
        return Recorded(record.seq, record.at_ns, Decided(decision=other))

    asked = question([renamed(record) for record in log], "log", MORE)

    assert asked.before.options.policy == "first-come"
    assert "no policy 'ours'" in asked.notes[-1]


@pytest.mark.parametrize(
    ("events", "problem"), [(0, "names no fleet"), (1, "holds no job that has run")]
)
def test_a_log_without_jobs_is_refused(log: list[Recorded], events: int, problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        learn(log[:events], "log")


def test_nodes_like_those_of_the_log_are_added_or_taken() -> None:
    nodes = (*pool(2, "H100"), *pool(1, "A100"))

    more = with_nodes(nodes, "A100:+2")

    assert [node.device_type for node in more] == ["H100", "H100", "A100", "A100", "A100"]
    assert len({node.id for node in more}) == 5
    assert len(with_nodes(nodes, "H100:-1")) == 2
    with pytest.raises(SpecError, match="several pools"):
        with_nodes(nodes, "+1")


def test_a_gang_that_fewer_nodes_could_not_hold_is_a_no() -> None:
    log = log_of(Small(2, Fifo(), trace((0, 16, 10))))

    with pytest.raises(Refused, match="needs 16 devices at once; the fleet has 8"):
        question(log, "log", Change(nodes="-1"))
