"""Two pools of one site that run one plan together: what each does, and what both cost.

A step takes as long as the slower side; the other one waits, and draws power meanwhile.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from irongrid.cost.columns import Machine, StepTime
from irongrid.cost.energy import PowerCoefficients, energy_j_per_step
from irongrid.cost.flops import step_flops
from irongrid.cost.inputs import machine_of, work_of
from irongrid.cost.money import co2_g_per_step, usd_per_step
from irongrid.domain.fleet import Pool
from irongrid.domain.plan import ParallelPlan
from irongrid.planner.answer import PricedPlan, StageMemory
from irongrid.planner.question import Question, goal_of
from irongrid.planner.rows import layout
from irongrid.planner.space import WORDS
from irongrid.planner.table import Floats, Mask, Table, rows, take

_POWER = PowerCoefficients()


@dataclass(frozen=True, slots=True)
class Side:
    """One pool's part of each candidate, and all its figures.

    Attributes:
        devices: that the candidate takes of this pool.
        p95_bytes: peak memory of the fullest of them.
    """

    pool: Pool
    machine: Machine
    devices: Floats
    step: StepTime
    p95_bytes: Floats

    @property
    def fits(self) -> Mask:
        """Whether each candidate's part fits this pool's devices."""
        return np.asarray(self.p95_bytes <= self.pool.accelerator.memory_bytes)


Sides = tuple[Side, Side]


def machines_of(question: Question, pools: tuple[Pool, Pool]) -> tuple[Machine, Machine]:
    """Both pools' hardware, on the slower of their networks: what they send must pass both."""
    one, other = (machine_of(pool, question.training) for pool in pools)
    net = min(float(one.net_bytes_per_s), float(other.net_bytes_per_s))
    spine = min(float(one.spine_bytes_per_s), float(other.spine_bytes_per_s))
    hop = max(float(one.net_latency_s), float(other.net_latency_s))
    shared = {"net_bytes_per_s": net, "spine_bytes_per_s": spine, "net_latency_s": hop}
    return replace(one, **shared), replace(other, **shared)


def fills_islands(tp: int, pools: tuple[Pool, Pool]) -> bool:
    """Whether tensor groups fill the islands of both pools, and none lies across two."""
    return all(pool.levels[0].devices % tp == 0 for pool in pools)


def counts(question: Question, pools: tuple[Pool, Pool], widths: tuple[int, ...]) -> Table:
    """How many groups of each width lie in each pool: columns `width`, `one`, `other`.

    All that fit; with a count of devices, as many as possible in the one pool or in the other.
    """
    made: list[tuple[int, int, int]] = []
    for width in widths:
        room = (pools[0].devices // width, pools[1].devices // width)
        if question.devices is None:
            pairs = [room]
        elif question.devices % width == 0:
            groups = question.devices // width
            pairs = [(groups - n, n) for n in {room[1], groups - room[0]}]
        else:
            continue
        made += [
            (width, one, other)
            for one, other in pairs
            if 1 <= one <= room[0] and 1 <= other <= room[1]
        ]
    columns = np.array(made, dtype=np.int64).reshape(-1, 3)
    return {"width": columns[:, 0], "one": columns[:, 1], "other": columns[:, 2]}


def pinned(table: Table, question: Question) -> Table:
    """The candidates that keep to the pins; a pin on what is not tried here leaves none."""
    fits = np.ones(rows(table), dtype=np.bool_)
    for name, value in question.pins.items():
        if name == "dp_replicate":
            fits &= table["dp"] // table["dp_shard"] == int(value)
        elif name not in table:
            fits &= False
        elif name in WORDS:
            fits &= table[name] == WORDS[name].index(str(value))
        else:
            fits &= table[name] == int(value)
    return take(table, fits)


@dataclass(frozen=True, slots=True)
class Bill:
    """What each candidate's step takes besides memory; None where the fleet does not say."""

    seconds: Floats
    energy_j: Floats
    usd: Floats | None
    co2_g: Floats | None


def bill_of(question: Question, sides: Sides) -> Bill:
    """Time of the slower side, and what both take until then."""
    seconds = np.maximum(sides[0].step.p50_s, sides[1].step.p50_s)
    site = question.fleet.site(sides[0].pool.site)
    energy, usd = np.zeros_like(seconds), []
    for side in sides:
        mine = energy_j_per_step(
            replace(side.step, p50_s=seconds),
            side.machine,
            side.devices,
            _POWER,
            node_watts=side.pool.node_watts,
            pue=site.pue,
        )
        energy = energy + mine
        usd.append(
            usd_per_step(
                seconds,
                side.devices,
                mine,
                usd_per_device_h=side.pool.usd_per_device_h,
                usd_per_kwh=site.usd_per_kwh,
            )
        )
    known = [price for price in usd if price is not None]
    return Bill(
        seconds=seconds,
        energy_j=energy,
        usd=known[0] + known[1] if len(known) == len(sides) else None,
        co2_g=co2_g_per_step(energy, carbon_g_per_kwh=site.carbon_g_per_kwh),
    )


def score_of(question: Question, bill: Bill) -> Floats:
    """As `Pricer.score`: the goal's weights on the logarithm of each figure."""
    figures: Mapping[str, Floats | None] = {
        "time": bill.seconds,
        "cost": bill.usd,
        "energy": bill.energy_j,
        "carbon": bill.co2_g,
    }
    total = np.zeros_like(bill.seconds)
    for name, weight in goal_of(question.goal).weights.items():
        figure = figures[name]
        # Without a price no such plan can be compared.
        total = total + (weight * np.log(figure) if figure is not None else np.inf)
    return total


@dataclass(frozen=True, slots=True)
class Candidates:
    """Candidates over two pools with all their figures."""

    question: Question
    table: Table
    sides: Sides
    bill: Bill

    def slower(self, row: int) -> Side:
        """The side that the other one waits for."""
        return max(self.sides, key=lambda side: float(side.step.p50_s[row]))

    def priced(
        self,
        row: int,
        plan: ParallelPlan,
        pools: tuple[str, ...],
        stage_memory: tuple[StageMemory, ...],
        score: float,
        why: str,
    ) -> PricedPlan:
        """One of them as an answer."""
        training, bill = self.question.training, self.bill
        seconds, slower = float(bill.seconds[row]), self.slower(row)
        could = seconds * sum(
            float(side.devices[row]) * side.pool.accelerator.flops_per_s[training.precision]
            for side in self.sides
        )
        one = take(self.table, np.array([row]))
        model, hardware = step_flops(work_of(self.question.model, training), layout(one))
        return PricedPlan(
            plan=plan,
            pool="+".join(pools),
            devices=plan.world_size,
            step_time_s=seconds,
            step_time_s_p90=float(max(side.step.p90_s[row] for side in self.sides)),
            parts_s={name: float(part[row]) for name, part in slower.step.parts_s.items()},
            tokens_per_s=training.global_batch * training.seq_len / seconds,
            mfu=float(np.ravel(model)[0]) / could,
            hfu=float(np.ravel(hardware)[0]) / could,
            stage_memory=stage_memory,
            energy_j_per_step=float(bill.energy_j[row]),
            usd_per_step=None if bill.usd is None else float(bill.usd[row]),
            co2_g_per_step=None if bill.co2_g is None else float(bill.co2_g[row]),
            score=score,
            why=(why,),
        )
