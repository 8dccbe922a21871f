"""Why no plan divides evenly over the devices, and the nearest counts and degrees that do."""

from collections.abc import Iterator
from dataclasses import replace
from math import prod

from irongrid.cost.coefficients import Coefficients
from irongrid.domain.fleet import Pool
from irongrid.errors import SpecError
from irongrid.planner.answer import Misfit
from irongrid.planner.one_pool import curve_sizes, pool_search
from irongrid.planner.question import BATCH_MAX, Question
from irongrid.planner.space import WORDS
from irongrid.planner.table import rows

FIXES_MAX = 4
# Values of a degree that are listed, and counts of devices on either side that are tried.
_LISTED, _BESIDE = 12, 16


def uneven(question: Question, pool: Pool, coefficients: Coefficients, devices: int) -> Misfit:
    """No plan splits batch, layers and heads evenly over so many devices."""

    def values(other: Question, name: str, *sizes: int) -> list[int]:
        """The values of a column over all that divides evenly on these counts of devices."""
        try:
            one = pool_search(other, pool, coefficients, max(sizes))
        except SpecError:
            return []
        found: set[int] = set()
        for table in one.tables(sizes):
            opened = one.knobs.expanded(one.knobs.expanded(table, "zero"), "context")
            if rows(opened):
                found |= set(opened.get(name, opened["devices"]).tolist())
        return sorted(found)

    fixes = []
    for name in question.pins:
        rest = {pin: value for pin, value in question.pins.items() if pin != name}
        found = values(replace(question, pins=rest), name, devices)
        if found:
            fixes.append(_open(name, found) if name in _COLUMNS else f"leave {name} open")
    near = values(question, "devices", *_near(devices, pool))
    if near:
        fixes.append(f"use {min(near, key=lambda n: (abs(n - devices), n)):,} devices")
    batch = -(-question.training.global_batch // devices) * devices
    if question.training.global_batch < batch <= BATCH_MAX:
        larger = replace(question, training=replace(question.training, global_batch=batch))
        if values(larger, "devices", devices):
            fixes.append(f"use a global batch of {batch:,}")
    return Misfit(
        code="divisibility",
        problem=_problem(question, devices),
        fixes=tuple(fixes[:FIXES_MAX]),
    )


_COLUMNS = (
    "tp", "pp", "cp", "ep", "dp", "dp_shard", "micro_batch", "grad_accum", "virtual_stages",
    "schedule", "zero", "context",
)  # fmt: skip


def _open(name: str, values: list[int]) -> str:
    if name in WORDS:
        said = [WORDS[name][code] for code in values]
    else:
        said = [f"{value:,}" for value in values[:_LISTED]]
        said += ["..."] if len(values) > _LISTED else []
    one_of = "use one of " if len(said) > 1 else "use "
    return f"leave {name} open, or {one_of}{', '.join(said)}"


def _problem(question: Question, devices: int) -> str:
    reason = next(_reasons(question, devices), "")
    if reason:
        return f"no plan divides evenly over {devices:,} devices: {reason}"
    batch, model = question.training.global_batch, question.model
    text = (
        f"no plan splits a batch of {batch:,}, {model.layers} layers and "
        f"{model.heads} heads evenly over {devices:,} devices"
    )
    if question.pins:
        text += " with " + ", ".join(f"{n}={v}" for n, v in sorted(question.pins.items()))
    return text


def _reasons(question: Question, devices: int) -> Iterator[str]:
    """What alone rules out every plan, as far as pins say."""
    pins, model = question.pins, question.model
    batch, stages = question.training.global_batch, int(pins.get("pp", 1))
    for names, whole, what in (
        (("tp", "pp", "cp", "dp"), devices, f"{devices:,} devices"),
        (("tp", "pp", "cp", "dp_replicate", "dp_shard"), devices, f"{devices:,} devices"),
        (("dp", "micro_batch", "grad_accum"), batch, f"a batch of {batch:,}"),
        (("dp_replicate", "dp_shard", "micro_batch", "grad_accum"), batch, f"a batch of {batch:,}"),
    ):
        fixed = {name: int(pins[name]) for name in names if name in pins}
        if whole % prod(fixed.values()):
            said = " x ".join(f"{name}={value}" for name, value in fixed.items())
            yield f"{said} does not divide {what}"
    if stages > model.layers:
        yield f"pp={stages:,} is more than the {model.layers:,} layers"
    if model.layers % stages and not question.ability.uneven_stages:
        runtime = question.training.runtime
        yield f"pp={stages} does not divide the {model.layers} layers, and {runtime} needs it to"
    deep = pins.get("zero") in ("2", "3", "fsdp")
    if deep and stages > 1 and not question.ability.composed:
        runtime = question.training.runtime
        yield f"{runtime} has no zero={pins['zero']} beside a pipeline, and pp={stages}"


def _near(devices: int, pool: Pool) -> tuple[int, ...]:
    """Other counts worth trying: those next to it and the usual ones."""
    beside = range(max(devices - _BESIDE, 1), min(devices + _BESIDE, pool.devices) + 1)
    usual = curve_sizes(pool, 64)
    return tuple(sorted({*beside, *usual} - {devices})) or (devices,)
