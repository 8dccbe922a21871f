"""What a worker does next, as values: no process, no clock."""

from irongrid.domain.event import (
    CheckpointCommitted,
    GangFailed,
    ProgressMade,
    RanksFinished,
    RanksReady,
    RanksStarted,
    RanksStopped,
    WorkerFact,
)
from irongrid.domain.failure import Failure, FailureCode
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.messages import Directive
from irongrid.session.lines import CheckpointLine, ProgressLine, ReadyLine
from irongrid.worker.life import (
    KILL_AFTER_TERM_S,
    Effect,
    Exit,
    Kill,
    Life,
    Report,
    Start,
    Tell,
    Terminate,
)

BROKEN = Failure(code=FailureCode.EXIT_CODE, message="broken", rank=1, exit_code=1)


def life(*, ready_at_start: bool = True, first_rank: int = 0) -> Life:
    ranks = range(first_rank, first_rank + 2)
    return Life(JobId("j000001"), 1, NodeId("n0"), ranks, ready_at_start=ready_at_start)


def order(
    action: str, generation: int = 1, *, checkpoint: int = 0, grace_s: float = 0.0
) -> Directive:
    return Directive(
        version=1,
        action=action,
        generation=generation,
        rendezvous="h:1",
        checkpoint=checkpoint,
        grace_s=grace_s,
        save=grace_s > 0,
    )


def running(generation: int = 1, **kwargs: bool) -> Life:
    it = life(**kwargs)
    it.directive(order("run", generation), 0.0)
    it.started()
    return it


def facts(effects: list[Effect]) -> list[WorkerFact]:
    return [effect.fact for effect in effects if isinstance(effect, Report)]


def kinds(effects: list[Effect]) -> list[type[WorkerFact]]:
    return [type(fact) for fact in facts(effects)]


def test_a_command_is_ready_when_its_processes_exist() -> None:
    it = life()

    assert it.directive(order("run"), 0.0) == [Start(1, "h:1")]
    assert kinds(it.started()) == [RanksStarted, RanksReady]


def test_the_recipe_is_ready_when_every_rank_of_the_node_says_so() -> None:
    it = life(ready_at_start=False)
    it.directive(order("run"), 0.0)

    assert kinds(it.started()) == [RanksStarted]
    assert it.line(0, ReadyLine(resumed_step=7, reached_step=9), 1.0) == []
    (ready,) = facts(it.line(1, ReadyLine(resumed_step=7), 1.0))
    assert isinstance(ready, RanksReady)
    assert (ready.resumed_step, ready.reached_step) == (7, 9)
    assert it.line(1, ReadyLine(resumed_step=7), 1.0) == []


def test_the_same_generation_is_never_started_twice() -> None:
    it = running()
    it.failed(BROKEN, 1.0)
    it.gone(1.1)

    assert it.directive(order("run"), 2.0) == []
    assert it.directive(order("run", 2), 3.0) == [Start(2, "h:1")]


def test_a_failure_tells_how_far_its_own_generation_had_come() -> None:
    it = running(ready_at_start=False)
    it.line(0, ProgressLine(step=45, metrics={}), 1.0)
    assert [
        fact.step for fact in facts(it.failed(BROKEN, 2.0)) if isinstance(fact, GangFailed)
    ] == [45]
    it.gone(2.1)
    it.directive(order("run", 2), 3.0)
    it.line(0, ProgressLine(step=42, metrics={}), 4.0)

    assert [
        fact.step for fact in facts(it.failed(BROKEN, 5.0)) if isinstance(fact, GangFailed)
    ] == [42]


def test_an_older_generation_is_gone_and_confirmed_before_the_next_starts() -> None:
    it = running()

    assert it.directive(order("run", 2), 1.0) == [Kill()]
    assert it.directive(order("run", 2), 1.1) == [], "one kill is enough"
    confirmed, start = it.gone(1.2)
    assert isinstance(confirmed, Report)
    assert isinstance(confirmed.fact, RanksStopped)
    assert confirmed.fact.generation == 1
    assert start == Start(2, "h:1")


def test_a_node_that_had_finished_confirms_when_the_gang_is_to_be_run_again() -> None:
    it = running()
    it.ended_well(0, 1.0)
    assert it.ended_well(1, 1.0) == [Kill()], "what the ranks left behind must go"
    assert kinds(it.gone(1.1)) == [RanksFinished]
    (stopped,) = facts(it.directive(order("hold", 2), 2.0))

    assert isinstance(stopped, RanksStopped)
    assert stopped.generation == 1
    assert it.directive(order("hold", 2), 2.1) == []


def test_an_old_hold_does_not_disturb_the_generation_that_runs() -> None:
    assert running(2).directive(order("hold", 2), 1.0) == []


def test_the_first_failure_ends_the_gang_and_its_echo_is_not_reported() -> None:
    it = running()
    it.line(0, ProgressLine(step=5, metrics={"loss": 2.0}), 0.0)
    it.line(0, ProgressLine(step=9, metrics={"loss": 1.0}), 1.0)
    effects = it.failed(BROKEN, 2.0)

    assert kinds(effects) == [ProgressMade, GangFailed]
    assert effects[-1] == Kill()
    failed = facts(effects)[1]
    assert isinstance(failed, GangFailed)
    assert (failed.failure, failed.step) == (BROKEN, 9)
    assert it.failed(BROKEN, 2.1) == []
    assert kinds(it.gone(2.2)) == [RanksStopped]


def test_progress_becomes_a_fact_every_thirty_seconds_and_only_from_rank_0() -> None:
    it = running()
    made = [
        fact
        for at_s in range(100)
        for fact in facts(it.line(0, ProgressLine(step=at_s, metrics={}), float(at_s)))
    ]

    assert [fact.step for fact in made if isinstance(fact, ProgressMade)] == [0, 30, 60, 90]
    assert life(first_rank=2).line(2, ProgressLine(step=1, metrics={}), 0.0) == []


def test_facts_are_numbered_without_a_gap() -> None:
    it = life()
    told = it.joined("h:1", "none")
    told += it.directive(order("run"), 0.0) + it.started() + it.failed(BROKEN, 1.0) + it.gone(1.0)

    assert [fact.n for fact in facts(told)] == [1, 2, 3, 4, 5]


def test_a_checkpoint_is_asked_for_once_per_request() -> None:
    it = running()

    assert it.directive(order("run", checkpoint=1), 1.0) == [Tell({"t": "checkpoint"})]
    assert it.directive(order("run", checkpoint=1), 1.1) == []
    assert it.directive(order("run", checkpoint=2), 1.2) == [Tell({"t": "checkpoint"})]
    # A server that has restarted counts from zero again.
    assert it.directive(order("run", checkpoint=0), 2.0) == []
    assert it.directive(order("run", checkpoint=1), 2.1) == [Tell({"t": "checkpoint"})]


def test_a_stop_with_grace_asks_then_terminates_then_kills() -> None:
    it = running()

    assert it.directive(order("stop", grace_s=10.0), 100.0) == [
        Tell({"t": "stop", "save": True}),
        Terminate(only_silent=True),
    ]
    assert it.next_due_s() == 110.0
    assert it.tick(109.9) == []
    assert it.tick(110.0) == [Terminate(only_silent=False)]
    assert it.tick(110.0 + KILL_AFTER_TERM_S) == [Kill()]
    effects = it.gone(113.0)
    assert kinds(effects) == [RanksStopped]
    assert effects[-1] == Exit(facts_matter=True)


def test_a_stop_without_grace_kills_at_once_also_when_one_with_grace_is_under_way() -> None:
    it = running()
    it.directive(order("stop", grace_s=60.0), 0.0)

    assert it.directive(order("stop"), 1.0) == [Kill()]


def test_stop_is_for_good() -> None:
    it = running()
    it.directive(order("stop"), 1.0)

    assert it.directive(order("run", 2), 1.1) == []
    assert [type(effect) for effect in it.gone(1.2)] == [Report, Exit]


def test_a_rank_that_was_asked_to_end_has_not_failed() -> None:
    it = running()
    it.directive(order("stop", grace_s=60.0), 0.0)
    it.line(0, CheckpointLine(
        step=4, path="p", size_bytes=1, written_bytes=1, age_ns=0, stall_ns=0), 1.0)  # fmt: skip

    assert it.ended_well(0, 1.0) == []
    assert it.failed(BROKEN, 1.1) == [Kill()], "all have ended: only leftovers can be there"
    assert kinds(it.gone(1.2)) == [RanksStopped]


def test_a_checkpoint_counts_until_the_last_process_is_gone() -> None:
    it = running()
    it.failed(BROKEN, 1.0)
    line = CheckpointLine(step=4, path="p", size_bytes=1, written_bytes=1, age_ns=0, stall_ns=0)

    assert kinds(it.line(0, line, 1.1)) == [CheckpointCommitted]


def test_ranks_that_do_not_exist_yet_are_not_waited_for_at_a_stop() -> None:
    it = life(ready_at_start=False)
    it.directive(order("run"), 0.0)

    assert it.directive(order("stop", grace_s=60.0), 0.1) == [Kill()]


def test_a_worker_that_is_cut_off_ends_without_a_word() -> None:
    it = running()

    assert it.cut_off() == [Kill()]
    assert it.cut_off() == []
    assert it.gone(1.0) == [Exit(facts_matter=False)]


def test_a_worker_that_is_asked_to_end_gives_its_ranks_two_seconds() -> None:
    it = running()

    assert it.terminated(5.0) == [Terminate(only_silent=False)]
    assert it.failed(BROKEN, 5.1) == [], "its own doing is no failure of the gang"
    assert it.tick(5.0 + KILL_AFTER_TERM_S) == [Kill()]
    assert it.gone(8.0) == [Exit(facts_matter=False)]


def test_without_its_zygote_a_worker_reports_why_and_goes() -> None:
    it = life(ready_at_start=False)
    lost = Failure(code=FailureCode.START_FAILED, message="no torch")
    it.directive(order("hold"), 0.0)
    effects = it.cannot_go_on(lost, 1.0)
    (failed,) = facts(effects)

    assert isinstance(failed, GangFailed)
    assert (failed.generation, failed.failure) == (1, lost)
    assert it.cannot_go_on(lost, 1.1) == []
    effects = it.gone(1.2)
    assert kinds(effects) == [RanksStopped]
    assert effects[-1] == Exit(facts_matter=True)
