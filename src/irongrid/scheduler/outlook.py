"""What a policy is told of an elastic job's future: values from `forecast`, or a bound's truth."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from irongrid.domain.ids import JobId


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is thought of one job at one moment.

    Attributes:
        left_s_C: time to the end on each size, if it stays there; infinite where it cannot run.
        sure: share of `left_s_C` that the job will need in any likely case; 1 where the total is
            known.
        restart_s: from a launch to the first step.
        done_s_C: time that the training so far would have taken on each size.
        run_ranks: the largest size that this job, or one like it, has run on; beyond it, and far
            from it, the values are no more than a guess.
    """

    left_s_C: np.ndarray
    done_s_C: np.ndarray
    sure: float
    restart_s: float
    run_ranks: int


class Forecaster(Protocol):
    """Where outlooks come from."""

    def outlook(self, job: JobId, now_ns: int) -> Outlook:
        """What is thought of a job now."""
