"""One job's training as it really goes: progress, epochs and restarts over time.

Rules: `data/sia/README.md`, "Replay rules". Time to an epoch's end is rounded to a whole second, as
in the simulators whose results we reproduce.
"""

from dataclasses import dataclass

from irongrid.twin.truth.applications import Application
from irongrid.twin.truth.profiles import Shape


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a job runs on and with; an empty shape is nothing.

    Attributes:
        local_bsz: samples per GPU and pass.
        accum_steps: passes beyond the first in one optimizer step.
    """

    gpu_type: str
    shape: Shape
    local_bsz: int
    accum_steps: int

    @property
    def replicas(self) -> int:
        """GPUs held."""
        return sum(self.shape)


IDLE = Configuration("", (), 0, 0)


class Training:
    """A job between its first start and its last epoch."""

    def __init__(self, application: Application, at_s: float) -> None:
        self.application = application
        self.at_s = at_s
        self.configuration = IDLE
        self.restart_left_s = 0.0
        self.epoch = 0
        self.progress = 0.0
        self.held_gpu_s = 0.0
        self.restart_gpu_s = 0.0
        self.completed_at_s: float | None = None
        self._rates: dict[tuple[Configuration, int], float] = {}

    def configure(self, configuration: Configuration, restart_s: float | None = None) -> None:
        """Run on something else from now on; `restart_s` sets what is left of a restart."""
        self.configuration = configuration
        if restart_s is not None:
            self.restart_left_s = restart_s

    def rate(self) -> float:
        """Progress per second of the current configuration in the current epoch."""
        key = (self.configuration, self.epoch)
        rate = self._rates.get(key)
        if rate is None:
            rate = self._rates[key] = self._rate()
        return rate

    def _rate(self) -> float:
        run, application = self.configuration, self.application
        times = application.profiles[run.gpu_type].step_time(run.shape, run.local_bsz)
        batch_size = run.replicas * run.local_bsz * (run.accum_steps + 1)
        gain = application.statistics.gain(batch_size, self.epoch)
        return gain / times.iteration_s(run.accum_steps) / application.slowdown

    def advance(self, until_s: float) -> bool:
        """Let time pass, at most to the end of an epoch; True if an epoch has ended.

        A call that returns True may have stopped short of `until_s`: the next epoch may run with
        another batch size, and `completed_at_s` is set after the last one.
        """
        if not self.configuration.shape or self.completed_at_s is not None:
            self.at_s = max(self.at_s, until_s)
            return False
        delay_s = min(self.restart_left_s, until_s - self.at_s)
        self.restart_left_s -= delay_s
        self.restart_gpu_s += delay_s * self.configuration.replicas
        self._pass(delay_s)
        left_s = until_s - self.at_s
        if left_s <= 0:
            return False
        rate = self.rate()
        end = self.application.statistics.epoch_end(self.epoch)
        if self.progress + rate * left_s < end:
            self.progress += rate * left_s
            self._pass(left_s)
            return False
        self._pass(round((end - self.progress) / rate))
        self.progress = end
        self.epoch += 1
        if self.epoch == self.application.max_epochs:
            self.completed_at_s = self.at_s
        return True

    def advance_within(self, until_s: float) -> None:
        """Let time pass inside of an epoch.

        As an epoch's end is rounded to a whole second, it may lie a little before `until_s` by the
        rate alone; then nearly all of the epoch is done.
        """
        end = self.application.statistics.epoch_end(self.epoch)
        left_s = until_s - self.at_s
        if left_s > 0:
            self.progress = min(self.progress + self.rate() * left_s, end * (1 - 1e-12))
            self._pass(left_s)

    def _pass(self, seconds: float) -> None:
        self.at_s += seconds
        self.held_gpu_s += seconds * self.configuration.replicas
