"""Which plans exist: the values of each field, and which of them go together.

A candidate is a *family* (degrees, micro-batch, schedule: what the compute and the bubble depend
on) with a choice of *knobs* (sharding, recompute, offload, compression: what trades memory for
time). Families are rows of a table; knobs are added to the few families that are worth it. Words
are codes: their index in the tuples of `domain.plan`.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from math import isqrt

import numpy as np

from irongrid.domain.fleet import Pool
from irongrid.domain.model import ModelShape
from irongrid.domain.plan import (
    COMPRESSIONS,
    CONTEXT_KINDS,
    OFFLOAD_TIERS,
    OFFLOADS,
    RECOMPUTE,
    SCHEDULES,
    ZERO,
)
from irongrid.domain.runtime import Ability
from irongrid.domain.training import Training
from irongrid.errors import Problem, SpecError
from irongrid.planner.stage_split import with_relieved_ends
from irongrid.planner.table import Array, Columns, Mask, Table, column, cross, options, rows, take

WORDS: dict[str, tuple[str, ...]] = {
    "schedule": SCHEDULES,
    "zero": ZERO,
    "recompute": RECOMPUTE,
    "offload": OFFLOADS,
    "offload_tier": OFFLOAD_TIERS,
    "context": CONTEXT_KINDS,
    "compression": COMPRESSIONS,
}
# Shares of a stage's blocks are counted in these, so that a share is a whole number in a table.
SHARES = 8
# Larger degrees than anyone has published; a pin may ask for more stages.
TP_MAX = 64
PP_MAX = 512
CP_MAX = 64
EP_MAX = 1024
MICRO_BATCH_MAX = 256
VIRTUAL_MAX = 16
# A context-parallel rank with fewer tokens than this has no matrix product worth the name.
TOKENS_MIN = 256
# Micro-batches that a schedule needs, in multiples of the stages.
_ROUNDS = tuple(2 if word == "dualpipev" else 1 for word in SCHEDULES)
INTERLEAVED = SCHEDULES.index("interleaved")
# Widths of hybrid sharding: a node, an NVLink rack or a block of nodes.
_SHARDS = (8, 64, 512)
ONE_F_ONE_B = SCHEDULES.index("1f1b")
ULYSSES = CONTEXT_KINDS.index("ulysses")
NONE = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """The values to try for each field of a plan.

    Attributes:
        dp_shard: ranks that share optimizer, gradients or weights; 0 stands for all of dp.
        recompute_share: eighths of a stage's blocks to which `recompute` applies.
    """

    tp: tuple[int, ...]
    pp: tuple[int, ...]
    cp: tuple[int, ...]
    ep: tuple[int, ...]
    micro_batch: tuple[int, ...]
    virtual_stages: tuple[int, ...]
    dp_shard: tuple[int, ...]
    schedule: tuple[str, ...]
    zero: tuple[str, ...]
    recompute: tuple[str, ...]
    recompute_share: tuple[int, ...]
    offload: tuple[str, ...]
    offload_tier: tuple[str, ...]
    sequence_parallel: tuple[bool, ...]
    context: tuple[str, ...]
    compression: tuple[str, ...]
    dp: tuple[int, ...] = ()
    grad_accum: tuple[int, ...] = ()

    def codes(self, name: str) -> tuple[int, ...]:
        """The values of a field as numbers."""
        values = getattr(self, name)
        return (
            tuple(WORDS[name].index(v) for v in values)
            if name in WORDS
            else tuple(map(int, values))
        )


def divisors(number: int, most: int) -> tuple[int, ...]:
    """Divisors of a number, up to a bound."""
    small = [d for d in range(1, isqrt(number) + 1) if number % d == 0]
    return tuple(d for d in sorted({*small, *(number // d for d in small)}) if d <= most)


def _powers(most: int) -> tuple[int, ...]:
    return tuple(2**k for k in range(max(most, 1).bit_length()))


def _ordered(known: Iterable[str], allowed: frozenset[str]) -> tuple[str, ...]:
    return tuple(word for word in known if word in allowed)


def space_of(
    model: ModelShape, training: Training, pool: Pool, devices: int, ability: Ability
) -> Space:
    """All that a model, a pool and a runtime leave open.

    Lossy compression of gradients changes what is learned, so it is tried only where it is asked
    for: pinned, or named in a space.
    """
    axes = ability.axes
    tiers = [
        tier
        for tier, there in (
            ("host", pool.host_memory_bytes > 0),
            ("nvme", pool.nvme_bytes > 0 and pool.nvme_bytes_per_s > 0),
            ("cxl", pool.cxl_bytes > 0 and pool.cxl_bytes_per_s > 0),
        )
        if there
    ]
    layers, stages = model.layers, min(devices, PP_MAX)
    pipeline = set(divisors(layers, stages))
    if ability.uneven_stages:
        pipeline |= set(divisors(layers + 2, min(stages, layers)))
        pipeline |= set(_powers(min(stages, layers - 1)))
    micro = [m for m in _powers(MICRO_BATCH_MAX) if training.global_batch % m == 0]
    return Space(
        tp=_tensor_splits(model, pool, devices) if "tp" in axes else (1,),
        pp=tuple(sorted(pipeline)) if "pp" in axes else (1,),
        cp=_powers(min(devices, CP_MAX, training.seq_len // TOKENS_MIN)) if "cp" in axes else (1,),
        ep=_expert_splits(model, devices) if "ep" in axes else (1,),
        micro_batch=tuple(micro),
        virtual_stages=tuple(range(1, VIRTUAL_MAX + 1)),
        dp_shard=(1, 0, *(shard for shard in _SHARDS if shard < devices)),
        schedule=_ordered(SCHEDULES, ability.schedules),
        zero=_ordered(ZERO, _distinct(ability.zero)),
        recompute=_ordered(RECOMPUTE, ability.recompute),
        recompute_share=(2, 4, 6, 8) if ability.partial_recompute else (8,),
        offload=_ordered(OFFLOADS, ability.offload) if tiers else ("none",),
        offload_tier=tuple(tiers) or ("host",),
        sequence_parallel=(True, False),
        context=_ordered(CONTEXT_KINDS, ability.contexts),
        compression=("none",),
    )


def _distinct(zero: frozenset[str]) -> frozenset[str]:
    """Without ZeRO-3 where there is FSDP: one way to shard under two libraries' names."""
    return zero - {"3"} if "fsdp" in zero else zero


def _tensor_splits(model: ModelShape, pool: Pool, devices: int) -> tuple[int, ...]:
    """Ways to split every matrix evenly whose groups fill islands, or are filled by them.

    Other groups would lie across two islands here and there, and the slowest sets the pace.
    """
    whole = divisors(_shared_heads(model), min(devices, TP_MAX))
    return tuple(tp for tp in whole if model.ffn % tp == 0 and _tiles(pool, devices, tp))


def _tiles(pool: Pool, devices: int, tp: int) -> bool:
    island = island_of(pool)
    return bool(pool.torus) or devices <= island or island % tp == 0 or tp % island == 0


def island_of(pool: Pool) -> int:
    """Devices that the fastest links join: an island's, or a node's where there are none."""
    islands = [level.devices for level in pool.levels if level.name == "island"]
    return max(islands[0], 1) if islands else pool.devices_per_node


def _shared_heads(model: ModelShape) -> int:
    """How many ways attention may be split: no rank may hold a part of a key-value head."""
    return model.heads if model.latent is not None else model.kv_heads


def _expert_splits(model: ModelShape, devices: int) -> tuple[int, ...]:
    if model.experts is None:
        return (1,)
    return divisors(model.experts.count, min(devices, EP_MAX))


def narrowed(
    space: Space, pins: Mapping[str, int | str | bool], model: ModelShape, pool: Pool,
    ability: Ability,
) -> Space:  # fmt: skip
    """The space with pinned fields at their values.

    Raises:
        SpecError: a pin is outside what the pool, the model or the runtime allows.
    """
    known = {item.name for item in fields(Space)}
    changes: dict[str, tuple[int | str | bool, ...]] = {}
    problems = []
    for name, value in pins.items():
        if name not in known:
            continue
        allowed = _allowed_words(name, space, ability) if name in WORDS else getattr(space, name)
        if (name in WORDS or name in ("tp", "cp", "ep")) and value not in allowed:
            fix = f"Use one of {', '.join(map(str, _in_order(name, allowed)))}"
            problem = _why_not(name, value, model, pool, ability)
            problems.append(Problem(field=name, problem=problem, fix=fix))
        changes[name] = (value,)
    if problems:
        raise SpecError(problems)
    return replace(space, **changes)  # type: ignore[arg-type]


def _in_order(name: str, allowed: Collection[int | str | bool]) -> list[int | str | bool]:
    return [word for word in WORDS.get(name, tuple(allowed)) if word in allowed]


def _why_not(
    name: str, value: int | str | bool, model: ModelShape, pool: Pool, ability: Ability
) -> str:
    """Why a pinned value is outside the space."""
    said, heads = f"{name}={value}", _shared_heads(model)
    if name == "offload_tier":
        return f"pool {pool.name} has no {value} to offload to"
    if name in WORDS or name not in ability.axes:
        return f"{said} is not what this runtime can do"
    number = int(value)
    if number > pool.devices:
        return f"{said} is more than the {pool.devices:,} devices of {pool.name}"
    if name == "tp" and heads % number:
        kind = "heads" if model.latent is not None else "key-value heads"
        return f"{said} does not divide the {heads} {kind}"
    if name == "tp" and model.ffn % number:
        return f"{said} does not divide ffn={model.ffn}"
    if name == "tp" and not _tiles(pool, pool.devices, number):
        return f"groups of {said} do not fill islands of {island_of(pool)}: some lie across two"
    if name == "ep" and model.experts is None:
        return f"{said}, but the model has no experts"
    if name == "ep" and model.experts is not None and model.experts.count % number:
        return f"{said} does not divide the {model.experts.count} experts"
    if name == "cp":
        fit = f"powers of two up to {CP_MAX} that leave a rank {TOKENS_MIN} tokens"
        return f"{said} is not tried: only {fit} are"
    return f"{said} is not tried: it is larger than any that was ever published"


def _allowed_words(name: str, space: Space, ability: Ability) -> frozenset[str]:
    return {
        "schedule": ability.schedules | {"1f1b"},
        "zero": ability.zero,
        "recompute": ability.recompute,
        "offload": ability.offload,
        "offload_tier": frozenset(space.offload_tier),
        "context": ability.contexts,
        "compression": ability.compressions,
    }[name]


def families(
    model: ModelShape, training: Training, sizes: tuple[int, ...], space: Space, ability: Ability
) -> Table:
    """Every family for every count of devices in `sizes`."""
    batch = training.global_batch
    table = cross(
        {"devices": np.array(sizes, dtype=np.int64)},
        options("tp", space.tp),
        lambda t: t["devices"] % t["tp"] == 0,
    )
    table = take(table, _matrices_split(model, table["tp"]))
    table = cross(table, options("pp", space.pp), lambda t: t["devices"] // t["tp"] % t["pp"] == 0)
    table = cross(
        table, options("cp", space.cp), lambda t: _sequence_splits(t, training.seq_len, model)
    )
    table["dp"] = table["devices"] // (table["tp"] * table["pp"] * table["cp"])
    fits = batch % table["dp"] == 0
    if space.dp:
        fits &= np.isin(table["dp"], np.array(space.dp, dtype=np.int64))
    table = take(table, fits)
    table = cross(
        table,
        options("micro_batch", space.micro_batch),
        lambda t: batch // t["dp"] % t["micro_batch"] == 0,
    )
    table["grad_accum"] = batch // (table["dp"] * table["micro_batch"])
    if space.grad_accum:
        table = take(table, np.isin(table["grad_accum"], np.array(space.grad_accum)))
    named = "1f1b" in space.schedule
    table = cross(table, _pipelines(space), lambda t: _stages_fit(t, model.layers, ability, named))
    pieces = table["pp"] * table["virtual_stages"]
    table["short_ends"] = short_ends(table["pp"], pieces, model.layers)
    table["blocks"] = fullest(table["pp"], pieces, model.layers)
    table["last_blocks"] = table["blocks"] - (model.layers % pieces != 0)
    if ability.uneven_stages:
        table = with_relieved_ends(table, model, training)
    table = cross(table, options("ep", space.ep), lambda t: _experts_fold(t, model))
    # How far state is sharded makes no plan of another kind.
    table["family"] = np.arange(rows(table), dtype=np.int64)
    return _with_shards(table, space, ability)


def _matrices_split(model: ModelShape, tp: Array) -> Mask:
    whole: Mask = (_shared_heads(model) % tp == 0) & (model.ffn % tp == 0)
    return whole


def _sequence_splits(table: Columns, seq_len: int, model: ModelShape) -> Mask:
    """A causal sequence is cut in 2 x cp pieces, so that each rank gets an early and a late one."""
    pieces = np.where(table["cp"] > 1, (2 if model.causal else 1) * table["cp"], 1)
    ranks = table["devices"] // (table["tp"] * table["pp"])
    whole: Mask = (ranks % table["cp"] == 0) & (seq_len % pieces == 0)
    return whole


def _pipelines(space: Space) -> Table:
    """Schedules with the virtual stages that each knows."""
    # One stage has no schedule to speak of, and is written as 1F1B.
    pairs = {(ONE_F_ONE_B, 1)}
    for code in space.codes("schedule"):
        word = SCHEDULES[code]
        if word == "interleaved":
            pairs |= {(code, v) for v in space.virtual_stages if v > 1}
        elif word in ("zbv", "dualpipev"):
            pairs.add((code, 2))
        else:
            pairs.add((code, 1))
    ordered = sorted(pairs)
    return {
        "schedule": column(*(code for code, _ in ordered)),
        "virtual_stages": column(*(v for _, v in ordered)),
    }


def _stages_fit(table: Columns, layers: int, ability: Ability, named: bool) -> Mask:
    """Whether blocks divide over the stages, and micro-batches fill the schedule.

    A runtime with uneven stages gives the first and the last stage fewer blocks, as they also hold
    the embedding and the output layer. Interleaving needs whole rounds of micro-batches
    (Megatron-LM, arguments.py, read 2026-11); DualPipeV fills the pipe from both ends.
    """
    pp, schedule, pieces = table["pp"], table["schedule"], table["pp"] * table["virtual_stages"]
    even = layers % pieces == 0
    ends = ((layers + 2) % pieces == 0) & (layers + 2 > pieces) & (pp > 1)
    loose = (table["virtual_stages"] == 1) & (pp < layers)
    whole = fills(schedule, pp, table["grad_accum"])
    alone = (schedule == ONE_F_ONE_B) & (table["virtual_stages"] == 1)
    piped = np.where(schedule == ONE_F_ONE_B, named, whole)
    placed = even | ((ends | loose) & ability.uneven_stages)
    fits: Mask = placed & np.where(pp == 1, alone, piped)
    return fits


def fills(schedule: Array, pp: Array, grad_accum: Array) -> Mask:
    """Whether so many micro-batches fill the schedule; 1F1B takes any number."""
    needed = np.where(schedule == ONE_F_ONE_B, 1, np.array(_ROUNDS)[schedule] * pp)
    whole: Mask = np.where(schedule == INTERLEAVED, grad_accum % pp == 0, grad_accum >= needed)
    return whole


def short_ends(pp: Array, pieces: Array, layers: int) -> Array:
    """1 where both the first and the last stage have a block fewer than the fullest one."""
    left_over = layers % pp
    loose = (left_over > 0) & (pp - left_over >= 2)
    short: Mask = (layers % pieces != 0) & (loose | ((layers + 2) % pieces == 0))
    return short.astype(np.int64)


def fullest(pp: Array, pieces: Array, layers: int) -> Array:
    """Blocks of the fullest stage."""
    rounds = np.where(layers % pieces == 0, layers, layers + 2) // pp
    return np.where((layers % pieces == 0) | ((layers + 2) % pieces == 0), rounds, -(-layers // pp))


def _experts_fold(table: Columns, model: ModelShape) -> Mask:
    if model.experts is None:
        return np.asarray(table["ep"] == 1)
    ranks = table["dp"] * table["cp"] * table["tp"]
    whole: Mask = (ranks % table["ep"] == 0) & (model.experts.count % table["ep"] == 0)
    return whole


def _with_shards(table: Table, space: Space, ability: Ability) -> Table:
    """Adds over how many ranks state is sharded: from one to all of dp."""
    table = cross(table, options("dp_shard", space.dp_shard))
    whole = table["dp_shard"] == 0
    dp, shard = table["dp"], np.where(whole, table["dp"], table["dp_shard"])
    # All of dp may be named twice, by 0 and by its number: keep one of them.
    fits = (dp % shard == 0) & (whole | (shard < dp) | (0 not in space.dp_shard))
    copies = "none" in space.zero or "none" not in ability.zero
    fits &= np.where(shard == 1, copies | (dp == 1), any(word != "none" for word in space.zero))
    if not ability.hybrid_sharding:
        fits &= (shard == 1) | (shard == dp)
    table["dp_shard"] = shard
    return take(table, fits)
