"""Between the log and the forecasts of elastic jobs: facts in, outlooks and batches out."""

from irongrid.control.state import State
from irongrid.domain.device import Placement
from irongrid.domain.event import JobSubmitted, Measured, RanksFinished, RanksStopped, Recorded
from irongrid.domain.ids import JobId
from irongrid.domain.job import JobState
from irongrid.forecast.goodputs import Goodputs
from irongrid.scheduler.outlook import Outlook


class GoodputLearner:
    """Tells a forecast what the log says, and a policy and the jobs' agents what it answers."""

    def __init__(self, goodputs: Goodputs) -> None:
        self.goodputs = goodputs
        self.state: State | None = None

    def __call__(self, recorded: Recorded) -> None:
        """Learn from a fact."""
        event, state = recorded.event, self._state()
        match event:
            case Measured():
                attempt = state.jobs[event.job].attempt
                if attempt is not None and attempt.epoch == event.epoch:
                    place = attempt.placement
                    kind = state.nodes[place.shares[0].node].device_type
                    shape = len(place.shares), place.world_size
                    self.goodputs.measured(event, kind, *shape, recorded.at_ns)
            case JobSubmitted() if event.spec.adaptive is not None:
                self.goodputs.submitted(event.job, event.spec.adaptive)
            case RanksStopped():
                self.goodputs.stopped(event.job)
            case RanksFinished() if state.jobs[event.job].state is JobState.SUCCEEDED:
                self.goodputs.finished(event.job)
            case _:
                pass

    def outlook(self, job: JobId, now_ns: int) -> Outlook:
        """What is thought of a job now."""
        limits = self._state().jobs[job].spec.adaptive
        assert limits is not None, f"{job} is elastic"
        left_s_C = self.goodputs.left_s_C(job, now_ns)
        done_s_C = self.goodputs.done_s_C(job, now_ns)
        return Outlook(
            left_s_C=left_s_C,
            done_s_C=done_s_C,
            sure=self.goodputs.sure(job),
            restart_s=limits.restart_s,
            run_ranks=self.goodputs.run_ranks(job),
        )

    def batch(self, job: JobId, placement: Placement) -> tuple[int, int]:
        """The batch that a job's agent chooses."""
        kind = self._state().nodes[placement.shares[0].node].device_type
        return self.goodputs.batch(job, kind, placement.world_size)

    def _state(self) -> State:
        assert self.state is not None, "the learner looks at a state"
        return self.state
