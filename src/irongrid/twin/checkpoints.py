"""How often to save, and what failures cost then: closed forms, and where they end to hold.

Symbols: `stall_s` is what one save costs, `mttf_s` the mean time to the job's next failure,
`recovery_s` what lies between a failure and the first new work.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """When ranks save while they work.

    Attributes:
        interval_s: work between two saves; None is never, but for the save of an ordered stop.
        stall_s: time for which work stands still for one.
        restart_s: from a failure's recovery to the first new work, in place.
    """

    interval_s: float | None
    stall_s: float = 0.0
    restart_s: float = 0.0


def young_s(*, stall_s: float, mttf_s: float) -> float:
    """Work between two saves that loses least: sqrt(2 w M).

    Source: Young, "A first order approximation to the optimum checkpoint interval", CACM 17(9),
    1974. Daly's first order (FGCS 22(3), 2006) takes one stall off.
    """
    return math.sqrt(2 * stall_s * mttf_s)


def availability_s(*, save_s: float, recovery_s: float, mttf_s: float) -> float:
    """The interval with the highest availability: Ts + sqrt(2 (Tf + Tr) Ts + Ts^2).

    Source: arXiv:2410.18124, by way of our reliability notes, 1.5.
    """
    return save_s + math.sqrt(2 * (mttf_s + recovery_s) * save_s + save_s * save_s)


def expected_ettr(*, interval_s: float, stall_s: float, recovery_s: float, mttf_s: float) -> float:
    """Share of the time in which work is done that counts: (1 - (u + T/2)/M) / (1 + w/T).

    A first order in small losses: of no use below about 0.75, where failures meet recoveries.
    Source: Kokolis et al., "Revisiting reliability in large-scale machine learning research
    clusters", HPCA 2025, by way of our reliability notes, 1.5.
    """
    return (1 - (recovery_s + interval_s / 2) / mttf_s) / (1 + stall_s / interval_s)


def exact_ettr(*, interval_s: float, stall_s: float, recovery_s: float, mttf_s: float) -> float:
    """The same for exponential failures that may also hit saves and recoveries.

    Work of one interval takes M e^(u/M) (e^((T+w)/M) - 1) on average.
    Source: Daly, "A higher order estimate of the optimum checkpoint interval for restart dumps",
    Future Generation Computer Systems 22(3), 2006, equation 20.
    """
    per_interval_s = (
        mttf_s * math.exp(recovery_s / mttf_s) * math.expm1((interval_s + stall_s) / mttf_s)
    )
    return interval_s / per_interval_s
