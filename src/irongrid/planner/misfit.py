"""Why no plan works, how much memory is missing, and the smallest changes that would do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from irongrid.cost.coefficients import Coefficients
from irongrid.domain.fleet import Pool
from irongrid.domain.runtime import RUNTIMES
from irongrid.errors import SpecError
from irongrid.planner.answer import Misfit
from irongrid.planner.one_pool import PoolSearch, curve_sizes, pool_search
from irongrid.planner.question import DEVICES_MAX, Question
from irongrid.planner.table import Table, rows, take
from irongrid.planner.uneven import uneven

FIXES_MAX = 4
GIB = 2**30
# Pins that hold memory, in the order in which giving them up changes least.
_MEMORY_PINS = (
    "recompute", "offload", "offload_tier", "micro_batch", "grad_accum", "zero", "dp_shard",
    "dp_replicate", "schedule", "virtual_stages", "stage_layers", "cp", "ep", "pp", "tp",
    "dp", "sequence_parallel",
)  # fmt: skip
# More devices are tried up to so many times as many.
_WIDER = 64
_NOTHING_HELPS = (
    "take a smaller model, or devices with more memory: other software, shorter sequences and "
    f"{_WIDER} times as many devices were tried"
)
# Whether a question has a plan: on how many devices, the fewest of those tried; 0 is none.
Works = Callable[..., int]


@dataclass(frozen=True, slots=True)
class _Leanest:
    """The candidate that needs least memory."""

    bytes: float
    degrees: str


def misfit(question: Question, pool: Pool, coefficients: Coefficients) -> Misfit:
    """Why this pool runs no plan of the question."""
    devices = question.devices or pool.devices
    one = pool_search(question, pool, coefficients, devices)
    lean = _leanest(one, devices)
    if lean is None:
        return uneven(question, pool, coefficients, devices)
    memory, name = pool.accelerator.memory_bytes, pool.accelerator.name
    missing = max(int(np.ceil(lean.bytes - memory)), 0)
    problem = (
        f"the leanest plan on {devices:,} {name} ({lean.degrees}{_even_with(one)}) needs "
        f"{lean.bytes / GIB:.1f} GiB on its fullest device, which has {memory / GIB:.1f} GiB: "
        f"{missing / GIB:.1f} GiB are missing"
    )
    if not missing:
        room = pool.host_memory_bytes / pool.devices_per_node / GIB
        problem = (
            f"plans fit {devices:,} {name} only with state on the host, "
            f"which has no room for it beyond {room:.0f} GiB per device"
        )
    fixes = _memory_fixes(question, pool, coefficients, devices)
    return Misfit(
        code="memory",
        problem=problem,
        missing_bytes=missing,
        fixes=tuple(islice(fixes, FIXES_MAX)) or (_NOTHING_HELPS,),
    )


def _even_with(one: PoolSearch) -> str:
    """What the leanest plan may do to need less, and does not suffice."""
    offloads = [word for word in one.space.offload if word != "none"]
    done = ["full recompute"] if "full" in one.space.recompute else []
    done += [f"{' or '.join(offloads)} offloaded"] if offloads else []
    return f", even with {' and '.join(done)}" if done else ""


def _leanest(one: PoolSearch, devices: int) -> _Leanest | None:
    """The leanest candidate on so many devices; None where nothing divides."""
    opened = _opened(one, (devices,))
    if not opened:
        return None
    least = one.bounds.memory_bytes(opened)
    row = int(np.argmin(least))
    said = ("tp", "pp", "cp", "ep", "dp", "micro_batch")
    cells = {name: int(opened[name][row]) for name in said}
    named = [f"{name} {n}" for name, n in cells.items() if n > 1 and name != "micro_batch"]
    degrees = ", ".join([*named, f"micro-batch {cells['micro_batch']}"])
    return _Leanest(float(least[row]), degrees)


def _opened(one: PoolSearch, sizes: tuple[int, ...]) -> Table:
    """Families of these sizes with what is sharded; nothing where none divides."""
    for table in one.tables(sizes):
        opened = one.knobs.expanded(one.knobs.expanded(table, "zero"), "context")
        if rows(opened):
            return opened
    return {}


def _fewest(one: PoolSearch, sizes: tuple[int, ...]) -> int:
    """The fewest of these devices on which a plan fits; 0 is none."""
    capacity = one.pricer.capacity_bytes
    for table in one.tables(sizes):
        opened = one.knobs.expanded(one.knobs.expanded(table, "zero"), "context")
        if not rows(opened):
            continue
        opened = take(opened, one.bounds.memory_bytes(opened) <= capacity)
        # The bound knows nothing of what the host has room for.
        for devices in np.unique(opened["devices"]).tolist():
            if len(one.best((devices,), 1).score):
                return int(devices)
    return 0


def _memory_fixes(
    question: Question, pool: Pool, coefficients: Coefficients, devices: int
) -> Iterator[str]:
    def works(other: Question, sizes: tuple[int, ...] = (devices,), wider: Pool = pool) -> int:
        try:
            return _fewest(pool_search(other, wider, coefficients, max(sizes)), sizes)
        except SpecError:
            return 0

    yield from _without_a_pin(question, works)
    yield from _other_software(question, works)
    yield from _less_to_hold(question, works)
    yield from _more_devices(question, pool, devices, works)


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


def _less_to_hold(question: Question, works: Works) -> Iterator[str]:
    """A leaner optimizer, or shorter sequences."""
    training = question.training
    leaner = replace(training, optimizer="adam8bit")
    if training.optimizer == "adam" and works(replace(question, training=leaner)):
        yield "keep the optimizer in 8 bits (adam8bit)"
    for shorter in (2, 4, 8):
        seq_len = training.seq_len // shorter
        if seq_len and works(replace(question, training=replace(training, seq_len=seq_len))):
            yield f"shorten sequences to {seq_len:,} tokens"
            return


def _more_devices(question: Question, pool: Pool, devices: int, works: Works) -> Iterator[str]:
    most = min(devices * _WIDER, DEVICES_MAX)
    wider = replace(pool, nodes=-(-most // pool.devices_per_node))
    sizes = tuple(size for size in curve_sizes(wider, 64) if size > devices)
    needed = works(question, sizes, wider) if sizes else 0
    if needed:
        yield f"use {needed:,} devices"
