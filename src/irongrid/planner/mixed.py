"""One pipeline over two pools of different devices: the slower ones get fewer layers.

Both pools stand at one site. Every stage has the same tensor- and data-parallel ranks, the first
stages lie in one pool and the last ones in the other. A step takes as long as the slower pool's
stages; each pool's are priced as if the whole pipeline were like them.
"""

from dataclasses import replace
from itertools import combinations

import numpy as np

from irongrid.cost.coefficients import Coefficients
from irongrid.cost.columns import Layout, Machine, Work
from irongrid.cost.inputs import machine_of, work_of
from irongrid.cost.memory import memory_at
from irongrid.cost.step import step_time
from irongrid.domain.fleet import Pool
from irongrid.domain.plan import RECOMPUTE, ZERO
from irongrid.domain.runtime import runnable_by
from irongrid.planner.answer import PricedPlan
from irongrid.planner.by_stage import memory_by_stage
from irongrid.planner.question import Question
from irongrid.planner.rows import layout, plan_of
from irongrid.planner.sides import (
    Candidates,
    Side,
    Sides,
    bill_of,
    counts,
    fills_islands,
    machines_of,
    pinned,
    score_of,
)
from irongrid.planner.space import SHARES, divisors
from irongrid.planner.table import Columns, Floats, Mask, Table, column, cross, options, rows, take

# More micro-batches in one pass never pay beside a pipeline's bubble.
_MICRO_BATCH_MAX = 16
# Layers of a first stage that are tried around the balance of both pools.
_AROUND = (-1, 0, 1, 2)


def over_two_pools(question: Question, coefficients: Coefficients) -> tuple[PricedPlan, ...]:
    """The best plans whose pipeline spans two pools of one site; none where no runtime can."""
    if not question.ability.mixed_devices or question.pool is not None or question.space:
        return ()
    precision = question.training.precision
    mixes: list[PricedPlan] = []
    for one, other in combinations(question.fleet.pools, 2):
        if one.site != other.site or one.accelerator.name == other.accelerator.name:
            continue
        if all(precision in pool.accelerator.flops_per_s for pool in (one, other)):
            # Either may come first: the one with room for more micro-batches in flight.
            found = [
                plans
                for first, last in ((one, other), (other, one))
                if (plans := _of_pair(question, first, last, coefficients))
            ]
            better: tuple[PricedPlan, ...] = min(found, key=_best_score, default=())
            mixes += better
    mixes.sort(key=lambda plan: plan.score)
    return tuple(mixes[: question.keep])


def _best_score(plans: tuple[PricedPlan, ...]) -> float:
    return plans[0].score


def _of_pair(
    question: Question, first: Pool, last: Pool, coefficients: Coefficients
) -> tuple[PricedPlan, ...]:
    table = pinned(_candidates(question, first, last), question)
    if not rows(table):
        return ()
    table = _balanced(table, question, (first, last), coefficients)
    sides = _sides(table, question, (first, last), coefficients)
    fits = sides[0].fits & sides[1].fits
    if not fits.any():
        return ()
    made = Candidates(question, table, sides, bill_of(question, sides))
    score = np.where(fits, score_of(question, made.bill), np.inf)
    order = np.argsort(score, kind="stable")[: question.keep]
    return tuple(
        _priced(int(row), made, float(score[row]), coefficients)
        for row in order
        if np.isfinite(score[row])
    )


def _candidates(question: Question, first: Pool, last: Pool) -> Table:
    """Degrees, stages in each pool, micro-batch and recompute that divide evenly."""
    model, batch = question.model, question.training.global_batch
    most = min(first.devices, last.devices)
    tps = [
        tp
        for tp in divisors(model.heads, most)
        if (model.kv_heads % tp == 0 or tp == 1) and fills_islands(tp, (first, last))
    ]
    table = cross(options("tp", tuple(tps)), options("dp", divisors(batch, most)))
    table = cross(table, _stages(question, first, last, tuple(sorted(set(_widths(table))))), _even)
    mbs = divisors(batch, _MICRO_BATCH_MAX)
    table = cross(
        table,
        options("micro_batch", mbs),
        lambda made: batch % (made["dp"] * made["micro_batch"]) == 0,
    )
    wanted = [word for word in RECOMPUTE if word in question.ability.recompute]
    table = cross(table, options("recompute", tuple(RECOMPUTE.index(word) for word in wanted)))
    zero = ZERO.index("1") if "1" in question.ability.zero else ZERO.index("none")
    return _filled(table, batch, zero)


def _widths(table: Table) -> list[int]:
    return [int(width) for width in table["tp"] * table["dp"]]


def _stages(question: Question, first: Pool, last: Pool, widths: tuple[int, ...]) -> Table:
    """How many stages lie in each pool, for each width of a stage."""
    held = counts(question, (first, last), widths)
    held = take(held, held["one"] + held["other"] <= question.model.layers)
    return {"width": held["width"], "ahead": held["one"], "behind": held["other"]}


def _even(made: Columns) -> Mask:
    return np.asarray(made["tp"] * made["dp"] == made["width"])


def _filled(table: Table, batch: int, zero: int) -> Table:
    """The other columns, which have one value here."""
    one, nothing = np.ones_like(table["tp"]), np.zeros_like(table["tp"])
    pp = table["ahead"] + table["behind"]
    return table | {
        "pp": pp,
        "cp": one,
        "ep": one,
        "dp_shard": table["dp"],
        "devices": table["width"] * pp,
        "grad_accum": batch // (table["dp"] * table["micro_batch"]),
        "virtual_stages": one,
        "schedule": nothing,
        "short_ends": nothing,
        "blocks": nothing,
        "last_blocks": nothing,
        "zero": np.where(table["dp"] > 1, zero, 0),
        "recompute_share": one * SHARES,
        "offload": nothing,
        "offload_tier": nothing,
        "sequence_parallel": (table["tp"] > 1).astype(np.int64),
        "context": nothing,
        "compression": nothing,
    }


def _balanced(
    table: Table, question: Question, pools: tuple[Pool, Pool], coefficients: Coefficients
) -> Table:
    """Each candidate with the layers of a first and a last stage, around equal times."""
    layers = question.model.layers
    work = work_of(question.model, question.training)
    ahead_s, behind_s = (
        step_time(work, machine_of(pool, question.training), layout(table), coefficients).p50_s
        for pool in pools
    )
    share = (1 / ahead_s) / (table["ahead"] / ahead_s + table["behind"] / behind_s)
    table = cross(table, {"more": column(*_AROUND)})
    balance = np.repeat(np.floor(layers * share), len(_AROUND)).astype(np.int64)
    table["first_layers"] = balance + table.pop("more")
    left = layers - table["ahead"] * table["first_layers"]
    table["last_layers"] = -(-left // table["behind"])
    return take(table, (table["first_layers"] >= 1) & (left >= table["behind"]))


def _sides(
    table: Table, question: Question, pools: tuple[Pool, Pool], coefficients: Coefficients
) -> Sides:
    columns, sides = layout(table), []
    for pool, machine, mine, layers, ends in zip(
        pools,
        machines_of(question, pools),
        ("ahead", "behind"),
        ("first_layers", "last_layers"),
        _ends(table, question.model.layers),
        strict=True,
    ):
        work = _of_stages(question, table[layers] * table["pp"])
        sides.append(
            Side(
                pool=pool,
                machine=machine,
                devices=np.asarray(table[mine] * table["width"], dtype=np.float64),
                step=step_time(work, machine, columns, coefficients),
                p95_bytes=_fullest_bytes(question, machine, columns, ends, coefficients),
            )
        )
    return sides[0], sides[1]


# Stages of one pool that can be its fullest: rank and blocks of each.
_Ends = tuple[tuple[Floats, Floats], ...]


def _ends(table: Table, layers: int) -> tuple[_Ends, _Ends]:
    """The first stages of each pool, which keep most micro-batches, and the one with the head.

    The second stage counts too, as a model's leading blocks without experts are all on the first.
    """
    ahead, first = np.asarray(table["ahead"], float), np.asarray(table["first_layers"], float)
    head = np.floor((layers - ahead * first) / table["behind"])
    last = np.asarray(table["last_layers"], float)
    ranks = np.asarray(table["pp"], float) - 1
    return (
        ((np.zeros_like(ahead), first), (np.minimum(ahead - 1, 1.0), first)),
        ((ahead, np.where(ahead == ranks, head, last)), (ranks, head)),
    )


def _fullest_bytes(
    question: Question,
    machine: Machine,
    columns: Layout,
    ends: _Ends,
    coefficients: Coefficients,
) -> Floats:
    """Peak memory, p95, of the fullest of these stages' devices."""
    assert coefficients.memory is not None, "coefficients were read without those of memory"
    work = work_of(question.model, question.training)
    each = [
        memory_at(work, machine, columns, coefficients.memory, rank=rank, blocks=blocks).p95_bytes
        for rank, blocks in ends
    ]
    return np.asarray(np.maximum(*each))


def _of_stages(question: Question, layers: np.ndarray) -> Work:
    """The work of a pipeline whose stages are all like one pool's."""
    work, model = work_of(question.model, question.training), question.model
    share = model.expert_layers / model.layers
    return replace(work, layers=layers, expert_layers=layers * share)


def _stage_layers(table: Table, row: int, layers: int) -> tuple[int, ...]:
    """Blocks of each stage; in the second pool the last stages, beside the head, take fewer."""
    ahead, behind = int(table["ahead"][row]), int(table["behind"][row])
    mine = int(table["first_layers"][row])
    each, longer = divmod(layers - ahead * mine, behind)
    return (*(mine,) * ahead, *(each + 1,) * longer, *(each,) * (behind - longer))


def _priced(row: int, made: Candidates, score: float, coefficients: Coefficients) -> PricedPlan:
    question, table = made.question, made.table
    names = tuple(side.pool.name for side in made.sides)
    counts = [int(table[name][row]) for name in ("ahead", "behind")]
    one = take(table, np.array([row]))
    plan = replace(
        plan_of(one, 0, question.model, question.training),
        stage_layers=_stage_layers(table, row, question.model.layers),
        stage_pools=tuple(name for name, n in zip(names, counts, strict=True) for _ in range(n)),
    )
    plan = replace(plan, runnable_by=runnable_by(plan))
    pools = {side.pool.name: side.pool for side in made.sides}
    memory = memory_by_stage(plan, question.model, question.training, pools, coefficients)
    return made.priced(row, plan, names, memory, score, _reason(row, made))


def _reason(row: int, made: Candidates) -> str:
    first, last = (int(made.table[name][row]) for name in ("first_layers", "last_layers"))
    (one, other), times = (
        [side.pool.name for side in made.sides],
        [float(side.step.p50_s[row]) for side in made.sides],
    )
    return (
        f"Stages on {one} have {first} layers and those on {other} at most {last}, so that "
        f"both take about as long: {times[0]:.3g} s and {times[1]:.3g} s."
    )
