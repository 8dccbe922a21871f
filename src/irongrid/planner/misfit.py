"""Why no plan works, how much memory is missing, and the smallest changes that would do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from irongrid.cost.coefficients import Coefficients
from irongrid.domain.fleet import Pool
from irongrid.domain.runtime import RUNTIMES
from irongrid.errors import SpecError
from irongrid.planner.answer import Misfit
from irongrid.planner.one_pool import PoolSearch, curve_sizes, pinned, pool_search
from irongrid.planner.question import DEVICES_MAX, Question
from irongrid.planner.space import families
from irongrid.planner.table import Table, rows

FIXES_MAX = 4
GIB = 2**30
# Pins that hold memory, in the order in which giving them up changes least.
_MEMORY_PINS = (
    "recompute", "offload", "micro_batch", "grad_accum", "zero", "dp_shard", "dp_replicate",
    "schedule", "virtual_stages", "cp", "ep", "pp", "tp", "dp", "sequence_parallel",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Leanest:
    """The candidate of a search that needs least memory; none where nothing divides."""

    bytes: float
    devices: int
    families: int

    def missing(self, pool: Pool) -> int:
        return max(int(np.ceil(self.bytes - pool.accelerator.memory_bytes)), 0)


def misfit(question: Question, pool: Pool, coefficients: Coefficients) -> Misfit:
    """Why this pool runs no plan of the question."""
    devices = question.devices or pool.devices
    now = _leanest(question, pool, coefficients, (devices,))
    if not now.families:
        return _nothing_divides(question, pool, coefficients, devices)
    missing = now.missing(pool)
    memory = pool.accelerator.memory_bytes
    problem = (
        f"the leanest plan on {devices:,} {pool.accelerator.name} needs {now.bytes / GIB:.1f} GiB "
        f"on its fullest device, which has {memory / GIB:.1f} GiB: "
        f"{missing / GIB:.1f} GiB are missing"
    )
    if not missing:
        room = pool.host_memory_bytes / pool.devices_per_node / GIB
        problem = (
            f"plans fit {pool.accelerator.name} only with state on the host, "
            f"which has no room for it beyond {room:.0f} GiB per device"
        )
    fixes = _memory_fixes(question, pool, coefficients, devices)
    return Misfit(
        code="memory", problem=problem, missing_bytes=missing, fixes=_first(fixes, FIXES_MAX)
    )


def _first(fixes: Iterator[str], most: int) -> tuple[str, ...]:
    found = []
    for fix in fixes:
        found.append(fix)
        if len(found) == most:
            break
    return tuple(found)


def _leanest(
    question: Question, pool: Pool, coefficients: Coefficients, sizes: tuple[int, ...]
) -> _Leanest:
    """The leanest candidate of the smallest size that fits; of all sizes where none does."""
    one = pool_search(question, pool, coefficients, max(sizes))
    table = _families(one, sizes)
    if not rows(table):
        return _Leanest(float("inf"), max(sizes), 0)
    knobs = one.knobs
    opened = knobs.expanded(knobs.expanded(table, "zero"), "context")
    if not rows(opened):
        return _Leanest(float("inf"), max(sizes), 0)
    least = one.bounds.memory_bytes(opened)
    fits = least <= one.pricer.capacity_bytes
    if fits.any():
        row = int(np.flatnonzero(fits)[np.argmin(opened["devices"][fits])])
    else:
        row = int(np.argmin(least))
    return _Leanest(float(least[row]), int(opened["devices"][row]), rows(table))


def _families(one: PoolSearch, sizes: tuple[int, ...]) -> Table:
    q = one.question
    return pinned(families(q.model, q.training, sizes, one.space, q.ability), q)


def _memory_fixes(
    question: Question, pool: Pool, coefficients: Coefficients, devices: int
) -> Iterator[str]:
    def works(other: Question, sizes: tuple[int, ...] = (devices,), wider: Pool = pool) -> int:
        try:
            lean = _leanest(other, wider, coefficients, sizes)
        except SpecError:
            return 0
        return lean.devices if lean.families and not lean.missing(pool) else 0

    yield from _without_a_pin(question, works)
    yield from _other_software(question, works)
    yield from _smaller_batches(question, works)
    yield from _more_devices(question, pool, devices, works)


Works = Callable[..., int]


def _without_a_pin(question: Question, works: Works) -> Iterator[str]:
    for name in _MEMORY_PINS:
        if name in question.pins:
            rest = {pin: value for pin, value in question.pins.items() if pin != name}
            if works(replace(question, pins=rest)):
                yield f"leave {name} open (it is pinned to {question.pins[name]})"


def _other_software(question: Question, works: Works) -> Iterator[str]:
    """Runtimes that recompute, shard or offload what this one cannot."""
    for name in RUNTIMES:
        if name in (question.training.runtime, "any"):
            continue
        other = replace(question, training=replace(question.training, runtime=name), space=None)
        if works(other):
            yield f"run it with {name}, which shards, recomputes or offloads more"
            return


def _smaller_batches(question: Question, works: Works) -> Iterator[str]:
    for seq_len in (question.training.seq_len // 2, question.training.seq_len // 4):
        if seq_len and works(
            replace(question, training=replace(question.training, seq_len=seq_len))
        ):
            yield f"shorten sequences to {seq_len:,} tokens"
            return


def _more_devices(question: Question, pool: Pool, devices: int, works: Works) -> Iterator[str]:
    most = min(devices * 64, DEVICES_MAX)
    wider = replace(pool, nodes=-(-most // pool.devices_per_node))
    sizes = tuple(size for size in curve_sizes(wider, 64) if size > devices)
    needed = works(question, sizes, wider) if sizes else 0
    if needed:
        yield f"use {needed:,} devices"


def _nothing_divides(
    question: Question, pool: Pool, coefficients: Coefficients, devices: int
) -> Misfit:
    """No plan splits batch, layers and heads evenly over so many devices."""

    def table(other: Question, sizes: tuple[int, ...]) -> Table:
        try:
            return _families(pool_search(other, pool, coefficients, max(sizes)), sizes)
        except SpecError:
            return {"devices": np.zeros(0, dtype=np.int64)}

    fixes = []
    for name in question.pins:
        rest = {pin: value for pin, value in question.pins.items() if pin != name}
        found = table(replace(question, pins=rest), (devices,))
        if rows(found):
            values = sorted(set(found[name].tolist()))[:12] if name in found else []
            fixes.append(f"leave {name} open" + (f", or use one of {values}" if values else ""))
    near = table(question, _near(devices, pool))
    if rows(near):
        counts = sorted(set(near["devices"].tolist()), key=lambda n: (abs(n - devices), n))
        fixes.append(f"use {counts[0]:,} devices")
    batch = question.training.global_batch
    other = -(-batch // devices) * devices
    if other != batch:
        larger = replace(question, training=replace(question.training, global_batch=other))
        if rows(table(larger, (devices,))):
            fixes.append(f"use a global batch of {other:,}")
    problem = (
        f"no plan splits a batch of {batch:,}, {question.model.layers} layers and "
        f"{question.model.heads} heads evenly over {devices:,} devices"
    )
    if question.pins:
        problem += " with " + ", ".join(f"{n}={v}" for n, v in sorted(question.pins.items()))
    return Misfit(code="divisibility", problem=problem, fixes=tuple(fixes[:FIXES_MAX]))


def _near(devices: int, pool: Pool) -> tuple[int, ...]:
    """Other counts worth trying: those next to it and the usual ones."""
    beside = range(max(devices - 16, 1), min(devices + 16, pool.devices) + 1)
    usual = curve_sizes(pool, 64)
    return tuple(sorted({*beside, *usual} - {devices})) or (devices,)
