"""How often to save: the interval at which saving and repeated work cost the least together."""

import math
from dataclasses import dataclass

from irongrid.domain.job import CheckpointPolicy

# What a job may expect before it has seen any failure of its own: 4.18 per 1,000 node-days, over
# 400 servers and 349 days of the InfiniteHBD trace (github.com/stepfun-ai/InfiniteHBD-Trace, 2025).
FAILURES_PER_NODE_S = 4.18 / 1000 / 86_400
LONGEST_S = 30 * 60.0
# Writing takes at most a tenth of the time ...
SHORTEST_IN_WRITES = 10.0
# ... and in a short run no failure costs more than about a twentieth of it.
SHARE_OF_RUN = 1 / 20
# Assumed until the first save has been measured.
FIRST_GUESS_BYTES_PER_S = 100e6
FIRST_GUESS_S = 0.1


def mean_time_to_failure_s(*, nodes: int, failures: int, running_s: float) -> float:
    """Expected time to the job's next failure: the fleet's rate, or its own where that is worse."""
    fleet_s = 1 / (FAILURES_PER_NODE_S * nodes)
    if failures == 0:
        return fleet_s
    return min(fleet_s, max(running_s, 1.0) / failures)


def young_daly_s(*, stall_s: float, failure_s: float) -> float:
    """The best interval for a stall and a mean time to failure.

    sqrt(2 w M) - w, Daly's first order; never below the stall itself.
    Sources: Young, "A first order approximation to the optimum checkpoint interval", CACM 17(9),
    1974; Daly, FGCS 22(3), 2006.
    """
    return max(stall_s, math.sqrt(2 * stall_s * failure_s) - stall_s)


def interval_s(*, stall_s: float, write_s: float, failure_s: float, run_s: float) -> float:
    """Seconds between two saves.

    Args:
        stall_s: time for which a save stops training.
        write_s: time from a save's start until it is durable, beside training.
        run_s: expected length of the whole run.
    """
    best_s = min(young_daly_s(stall_s=stall_s, failure_s=failure_s), run_s * SHARE_OF_RUN)
    return min(LONGEST_S, max(best_s, SHORTEST_IN_WRITES * write_s))


@dataclass
class Pacer:
    """Says at which steps to save; asked by one rank for all.

    Attributes:
        policy: the person's wish; without one the interval follows from what is measured.
        last_s: when the last save began, on the caller's clock.
        failures: restarts of the job so far.
        earlier_s: time that ranks had worked before this start.
    """

    policy: CheckpointPolicy
    nodes: int
    size_bytes: int
    started_s: float
    failures: int
    earlier_s: float
    last_s: float = 0.0
    stall_s: float = 0.0
    write_s: float = 0.0

    def __post_init__(self) -> None:
        self.last_s = self.started_s
        self.write_s = FIRST_GUESS_S + self.size_bytes / FIRST_GUESS_BYTES_PER_S
        self.stall_s = self.write_s / 10

    def measured(self, *, stall_s: float, write_s: float) -> None:
        """Learn from a finished save."""
        self.stall_s, self.write_s = stall_s, write_s

    def running_s(self, now_s: float) -> float:
        """Time that ranks have worked on the job, over all starts."""
        return self.earlier_s + now_s - self.started_s

    def due(self, *, step: int, steps: int, step_time_s: float, now_s: float) -> bool:
        """Whether to save after this step."""
        if self.policy.every_steps is not None:
            return step % self.policy.every_steps == 0
        if self.policy.every_s is not None:
            return now_s - self.last_s >= self.policy.every_s
        failure_s = mean_time_to_failure_s(
            nodes=self.nodes, failures=self.failures, running_s=self.running_s(now_s)
        )
        return now_s - self.last_s >= interval_s(
            stall_s=self.stall_s,
            write_s=self.write_s,
            failure_s=failure_s,
            run_s=steps * step_time_s,
        )
