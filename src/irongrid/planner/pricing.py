"""Figures of candidates by columns: time, memory, energy, money, carbon, and a goal's score."""

from dataclasses import dataclass

import numpy as np

from irongrid.cost.coefficients import Coefficients
from irongrid.cost.columns import PeakMemory, StepTime
from irongrid.cost.energy import PowerCoefficients, energy_j_per_step
from irongrid.cost.inputs import machine_of, work_of
from irongrid.cost.memory import peak_memory
from irongrid.cost.money import co2_g_per_step, usd_per_step
from irongrid.cost.residual import features_of
from irongrid.cost.step import formula_time, step_time
from irongrid.domain.fleet import Pool, Site
from irongrid.domain.model import ModelShape
from irongrid.domain.plan import OFFLOAD_TIERS, OFFLOADS, ParallelPlan
from irongrid.domain.training import Training
from irongrid.errors import Refused
from irongrid.planner.answer import StageMemory
from irongrid.planner.by_stage import memory_by_stage
from irongrid.planner.correction import Correction, Examples
from irongrid.planner.question import Goal
from irongrid.planner.rows import layout
from irongrid.planner.table import Floats, Mask, Table, column, rows, take

_POWER = PowerCoefficients()
# What a plan can change; two candidates that differ in all of it tell which features that moves.
_VARIED = (
    "tp", "pp", "cp", "ep", "dp", "dp_shard", "micro_batch", "grad_accum", "virtual_stages",
    "schedule", "short_ends", "blocks", "last_blocks", "zero", "recompute", "recompute_share",
    "offload", "offload_tier", "sequence_parallel", "context", "compression",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a step costs besides time; None where the fleet does not say."""

    energy_j: Floats
    usd: Floats | None
    co2_g: Floats | None


@dataclass(frozen=True, slots=True)
class Formula:
    """Step time by the formulas alone, before what measured rows have taught."""

    total_s: Floats
    parts_s: dict[str, Floats]

    def shifted(self, log_shift: Floats | float) -> StepTime:
        """The step time if the correction were this one, without a spread and flops."""
        factor = np.exp(log_shift)
        total = self.total_s * factor
        parts = {name: part * factor for name, part in self.parts_s.items()}
        nothing = np.zeros_like(total)
        return StepTime(
            p50_s=total, p90_s=total, parts_s=parts, model_flops=nothing, hardware_flops=nothing
        )


def _joined(steps: list[StepTime]) -> StepTime:
    """The steps of several cases as columns."""

    def column_of(name: str) -> Floats:
        return np.concatenate([np.zeros(0), *(getattr(step, name) for step in steps)])

    return StepTime(
        p50_s=column_of("p50_s"),
        p90_s=column_of("p90_s"),
        parts_s={
            name: np.concatenate([step.parts_s[name] for step in steps])
            for name in (steps[0].parts_s if steps else ())
        },
        model_flops=column_of("model_flops"),
        hardware_flops=column_of("hardware_flops"),
    )


class Pricer:
    """Prices candidates of one model on one pool for one goal."""

    def __init__(
        self,
        model: ModelShape,
        training: Training,
        pool: Pool,
        site: Site,
        goal: Goal,
        coefficients: Coefficients,
        stage_layers: tuple[int, ...] = (),
    ) -> None:
        """
        Args:
            stage_layers: blocks of each stage of all candidates, where they are fixed.
        """
        assert coefficients.memory is not None, "coefficients were read without those of memory"
        self.pool, self.site, self.goal = pool, site, goal
        self._model, self._training, self._stage_layers = model, training, stage_layers
        self._coefficients, self._memory = coefficients, coefficients.memory
        self._work, self._machine = work_of(model, training), machine_of(pool, training)
        self.correction = self._correction(coefficients)
        self.tokens = training.global_batch * training.seq_len
        self._refuse_unknown_prices()

    def _refuse_unknown_prices(self) -> None:
        if self.goal.cost and self.pool.usd_per_device_h is None:
            raise Refused(
                "no_price",
                f"pool {self.pool.name} has no price, so no plan is the cheapest",
                "Give usd_per_device_h in the fleet, or another goal",
            )
        if self.goal.carbon and self.site.carbon_g_per_kwh is None:
            raise Refused(
                "no_carbon",
                f"site {self.site.name} has no carbon intensity",
                "Give carbon_g_per_kwh in the fleet, or another goal",
            )

    def _correction(self, coefficients: Coefficients) -> Correction:
        if not coefficients.residual.pull.size:
            return Correction(coefficients.residual, None)
        two = {name: column(1, 2) for name in _VARIED}
        one, other = self.features(two, np.array([1.0, 3.0]))
        slower, _ = self.features(two, np.array([np.e, 3.0]))
        return Correction(coefficients.residual, Examples(one=one, other=other, slower=slower))

    def time(self, table: Table) -> StepTime:
        """Step time of each candidate, as the search compares them."""
        formula = self.formula(table)
        if self.correction.is_nothing:
            return formula.shifted(0.0)
        return formula.shifted(self.correction.at(self.features(table, formula.total_s)))

    def cheapest_compression(self, codes: tuple[int, ...]) -> int:
        """The compression with which any candidate is as fast as with the others, or faster.

        Compression changes nothing but how many bytes gradients take on the wire, so what is
        fastest for one candidate with copies of the model is so for all.
        """
        one = {name: np.ones(len(codes), dtype=np.int64) for name in _VARIED}
        nothing = np.zeros_like(one["tp"])
        plain = ("schedule", "short_ends", "zero", "recompute", "offload", "offload_tier")
        one |= dict.fromkeys((*plain, "context"), nothing)
        one |= {"dp": 2 * one["tp"], "compression": np.array(codes, dtype=np.int64)}
        return codes[int(np.argmin(self.formula(one).total_s))]

    def full_time(self, table: Table) -> StepTime:
        """Step time of each candidate with p90 and operations.

        Each by itself: which measured rows count depends on how far apart the cases of a call are.
        """
        steps = [
            step_time(
                self._work,
                self._machine,
                layout(take(table, slice(row, row + 1))),
                self._coefficients,
            )
            for row in range(rows(table))
        ]
        return _joined(steps)

    def formula(self, table: Table) -> Formula:
        """Step time of each candidate without the correction, which costs most of the work."""
        parts, total = formula_time(self._work, self._machine, layout(table), self._coefficients)
        return Formula(total, parts)

    def features(self, table: Table, formula_s: Floats) -> Floats:
        """Where each candidate lies among measured rows."""
        return features_of(self._work, self._machine, layout(table), formula_s)

    def memory(self, table: Table) -> PeakMemory:
        """Peak memory of each candidate."""
        return peak_memory(
            self._work, self._machine, layout(table), self._memory, self._stage_layers
        )

    def stage_memory(self, plan: ParallelPlan) -> tuple[StageMemory, ...]:
        """Peak memory of each stage of one plan, which is never more than `memory` says."""
        pools = {self.pool.name: self.pool}
        return memory_by_stage(plan, self._model, self._training, pools, self._coefficients)

    def bill(self, table: Table, step: StepTime) -> Bill:
        """Energy, money and carbon of each candidate's step."""
        energy = energy_j_per_step(
            step,
            self._machine,
            table["devices"],
            _POWER,
            node_watts=self.pool.node_watts,
            pue=self.site.pue,
        )
        usd = usd_per_step(
            step.p50_s,
            table["devices"],
            energy,
            usd_per_device_h=self.pool.usd_per_device_h,
            usd_per_kwh=self.site.usd_per_kwh,
        )
        carbon = co2_g_per_step(energy, carbon_g_per_kwh=self.site.carbon_g_per_kwh)
        return Bill(energy_j=energy, usd=usd, co2_g=carbon)

    def score(self, table: Table, step: StepTime) -> Floats:
        """How bad each candidate is: the goal's weights on the logarithm of each figure."""
        weights = self.goal.weights
        total = np.zeros(len(table["tp"]))
        if "time" in weights:
            total += weights["time"] * np.log(step.p50_s)
        if set(weights) - {"time"}:
            bill = self.bill(table, step)
            figures = {"cost": bill.usd, "energy": bill.energy_j, "carbon": bill.co2_g}
            for name, figure in figures.items():
                if name in weights and figure is not None:
                    total += weights[name] * np.log(figure)
        return total

    @property
    def capacity_bytes(self) -> int:
        """Memory of one device."""
        return self.pool.accelerator.memory_bytes

    def fits(self, table: Table, memory: PeakMemory) -> Mask:
        """Whether each candidate's p95 fits the device, and what it offloads fits the tier."""
        return (memory.p95_bytes <= self.capacity_bytes) & self.tier_holds(table, memory)

    def tier_holds(self, table: Table, memory: PeakMemory) -> Mask:
        """Whether the tier that takes what is offloaded has room for it."""
        pool = self.pool
        rooms = {"host": pool.host_memory_bytes, "nvme": pool.nvme_bytes, "cxl": pool.cxl_bytes}
        room = np.array([rooms[tier] / pool.devices_per_node for tier in OFFLOAD_TIERS])
        kept = table["offload"] == OFFLOADS.index("none")
        return np.asarray(kept | (memory.host_bytes <= room[table["offload_tier"]]))
