"""The scaling curve: what the planner tells the scheduler about one job (design 5)."""

from dataclasses import dataclass

SPANS = ("island", "node", "rack", "block", "any")


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """How fast the job runs on so many devices of one type.

    Attributes:
        span: the widest network level that the gang may cross for this figure to hold.
        power_watts: draw of the whole gang, devices and their share of the nodes.
        plan_id: the plan behind a planned point.
        source: `planned`, `measured` or `transferred`.
        observations: measurements behind the figure.
    """

    device_type: str
    devices: int
    nodes: int
    span: str
    work_per_s_p50: float
    work_per_s_p90: float
    step_time_s: float
    memory_bytes: int
    power_watts: float
    plan_id: str | None = None
    source: str = "planned"
    observations: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingCurve:
    """A job's speed over device types and counts. No money: prices belong to the fleet.

    Attributes:
        points: at most 64, by device type and count.
        unit_of_work: what `work_per_s` counts, such as `tokens` or `samples`.
        total_work: quantiles of the whole job's work: {"p50": ..., "p90": ...}; empty if unknown.
        restart_s: time that a stop and a start on other devices cost.
        rigid: whether only the given counts run.
    """

    points: tuple[CurvePoint, ...]
    unit_of_work: str
    total_work: dict[str, float]
    restart_s: float
    rigid: bool = False
