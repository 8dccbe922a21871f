"""What the planner answers: plans with all their figures, best first, or why there is none."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from irongrid.domain.plan import ParallelPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class StageMemory:
    """Peak memory of each device of one pipeline stage.

    Attributes:
        pool: the pool that the stage lies in.
        stage: 0 holds the embedding.
        parts_bytes: parts of `peak_memory_bytes`, see `cost.columns.PeakMemory`.
        host_bytes: what offloading puts beside each device.
    """

    pool: str
    stage: int
    peak_memory_bytes: int
    peak_memory_bytes_p95: int
    parts_bytes: Mapping[str, int]
    host_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedPlan:
    """A plan and what it costs. Figures are per optimizer step unless their name says otherwise.

    Attributes:
        pool: the pool it runs on; of several, their names joined by `+`.
        devices: how many it takes.
        parts_s: parts of `step_time_s`, see `cost.columns.StepTime`.
        mfu: operations that the model needs over what the devices could do in the step, at their
            dense peak in the plan's precision.
        hfu: the same with what is recomputed.
        stage_memory: peak memory of each stage, first to last; one where there is no pipeline.
        usd_per_step, co2_g_per_step: None where the fleet names no price or no carbon source.
        score: how bad it is for the goal, by which plans are ordered: the goal's weights on the
            logarithms of the figures, which leave a thousandth of them open.
        why: sentences for a person: what binds, the next best, what would help.
    """

    plan: ParallelPlan
    pool: str
    devices: int
    step_time_s: float
    step_time_s_p90: float
    parts_s: Mapping[str, float]
    tokens_per_s: float
    mfu: float
    hfu: float
    stage_memory: tuple[StageMemory, ...]
    energy_j_per_step: float
    usd_per_step: float | None
    co2_g_per_step: float | None
    score: float
    why: tuple[str, ...] = ()

    @property
    def fullest(self) -> StageMemory:
        """The stage whose devices need most; the first of equals."""
        return max(self.stage_memory, key=lambda stage: stage.peak_memory_bytes)

    @property
    def peak_memory_bytes(self) -> int:
        """Peak memory of the fullest stage's devices, p50."""
        return self.fullest.peak_memory_bytes

    @property
    def peak_memory_bytes_p95(self) -> int:
        """What 19 of 20 runs stay under on every stage; the search uses it."""
        return max(stage.peak_memory_bytes_p95 for stage in self.stage_memory)

    @property
    def memory_parts_bytes(self) -> Mapping[str, int]:
        """Parts of `peak_memory_bytes`."""
        return self.fullest.parts_bytes

    @property
    def host_bytes(self) -> int:
        """The most that offloading puts beside a device of any stage."""
        return max(stage.host_bytes for stage in self.stage_memory)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much of the space the search had to look at.

    Attributes:
        candidates: plans that divide evenly over model, batch and devices.
        families: groups of them with the same degrees, micro-batch and schedule.
        after_bounds: candidates that neither the memory bound nor the bound on the goal excludes.
        evaluated: candidates that were priced in full.
    """

    candidates: int = 0
    families: int = 0
    after_bounds: int = 0
    evaluated: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """Why nothing works, and the smallest change that would.

    Attributes:
        code: `memory`, `divisibility`, `runtime` or `network`.
        missing_bytes: memory that the leanest plan lacks on each device; 0 where that is not why.
        fixes: changes that would do, smallest first.
    """

    code: str
    problem: str
    missing_bytes: int = 0
    fixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The best plans, or why there are none."""

    plans: tuple[PricedPlan, ...]
    effort: Effort = field(default_factory=Effort)
    misfit: Misfit | None = None

    @property
    def best(self) -> PricedPlan:
        """The chosen plan; there must be one."""
        return self.plans[0]
