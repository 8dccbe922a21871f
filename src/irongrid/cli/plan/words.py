"""A plan in words: short names of its degrees, figures with units, the parts of a step."""

from collections.abc import Sequence
from itertools import groupby

from irongrid.domain.plan import ParallelPlan
from irongrid.planner.answer import PricedPlan
from irongrid.units import format_duration

# Parts of a step, in the order of the bar, in words.
PARTS = {
    "compute": "compute",
    "tp": "tensor parallel",
    "cp": "context parallel",
    "ep": "experts",
    "pp": "stage to stage",
    "dp": "data parallel",
    "bubble": "pipeline bubble",
    "optimizer": "optimizer",
    "offload": "offload",
    "overhead": "overhead",
}
MEMORY_PARTS = ("weights", "gradients", "optimizer", "activations", "buffers", "context")
GIB = 2**30


def degrees(plan: ParallelPlan) -> str:
    """The degrees that are more than one: `tp8 pp16 dp128`."""
    shards = plan.dp_shard if plan.zero in ("3", "fsdp") else 1
    named = (
        ("tp", plan.tp), ("cp", plan.cp), ("pp", plan.pp), ("ep", plan.ep),
        ("dp", plan.dp // shards), ("fsdp", shards),
    )  # fmt: skip
    return " ".join(f"{name}{degree}" for name, degree in named if degree > 1) or "one device"


def micro_batch(plan: ParallelPlan) -> str:
    """Samples of a pass; of replicas in several pools, of each: `4/1`."""
    sizes = [part.micro_batch for part in plan.replicas] or [plan.micro_batch]
    return "/".join(map(str, sizes if len(set(sizes)) > 1 else sizes[:1]))


def schedule(plan: ParallelPlan) -> str:
    """The pipeline's schedule; a dash where there is no pipeline."""
    if plan.pp == 1:
        return "-"
    if plan.schedule == "interleaved":
        return f"interleaved x{plan.virtual_stages}"
    return plan.schedule


def sharding(plan: ParallelPlan) -> str:
    """What data-parallel ranks shard: `zero-1`, `fsdp`; a dash for nothing."""
    if plan.dp_shard == 1 or plan.zero == "none":
        return "-"
    return plan.zero if plan.zero == "fsdp" else f"zero-{plan.zero}"


def extras(plan: ParallelPlan) -> str:
    """Everything else that is not at its default, as a short list."""
    said = []
    if plan.recompute != "none":
        said.append(f"{plan.recompute} recompute{_in_part(plan)}")
    if plan.offload != "none":
        said.append(f"{plan.offload} offloaded to {plan.offload_tier}")
    if plan.cp > 1:
        said.append(f"{plan.context} attention")
    if plan.compression != "none":
        said.append(f"{plan.compression} gradients")
    if plan.sites > 1:
        every = "every step" if plan.sync_every == 1 else f"every {plan.sync_every} steps"
        said.append(f"{plan.sites} sites, in step {every}")
    if plan.replicas:
        shares = (
            f"{part.count} on {part.pool} with {part.micro_batch} x {part.grad_accum} samples each"
            for part in plan.replicas
        )
        said.append(f"replicas {', '.join(shares)}")
    if len(set(plan.stage_layers)) > 1:
        said.append(f"stages of {runs(plan.stage_layers)} layers")
    return ", ".join(said)


def _in_part(plan: ParallelPlan) -> str:
    """In how many layers of a stage, where not in all of them."""
    layers = plan.recompute_layers
    if not layers or layers == plan.stage_layers:
        return ""
    most, whole = max(layers), max(plan.stage_layers, default=0)
    return f" in {most} of {whole} layers of a stage" if plan.pp > 1 else f" in {most} layers"


def runs(values: Sequence[int]) -> str:
    """Numbers in order, repeats counted: `7, 14 x 8, 7`."""
    groups = [(value, len(list(group))) for value, group in groupby(values)]
    return ", ".join(f"{times} x {value}" if times > 1 else str(value) for value, times in groups)


def stages_memory(priced: PricedPlan) -> str:
    """The fullest and the emptiest stage's memory: `p95 of memory: 71.3 GiB on stage 0, ...`."""
    ordered = sorted(priced.stage_memory, key=lambda stage: -stage.peak_memory_bytes_p95)
    several = len({stage.pool for stage in ordered}) > 1
    most, least = (
        f"{gib(stage.peak_memory_bytes_p95)} GiB on stage {stage.stage}"
        + (f" ({stage.pool})" if several else "")
        for stage in (ordered[0], ordered[-1])
    )
    return f"p95 of memory by stage: from {least} to {most}"


def gib(size_bytes: float) -> str:
    """Memory of a device: `71.3`, in GiB."""
    return f"{size_bytes / GIB:.1f}"


def seconds(duration_s: float) -> str:
    """A step's time with three digits: `12.3 ms`, `4.96 s`."""
    if duration_s < 0.9995:
        return f"{_three(duration_s * 1e3)} ms"
    return f"{_three(duration_s)} s" if duration_s < 100 else format_duration(duration_s)


def _three(value: float) -> str:
    """Three digits, also where they are zeros, so that a column is easy to compare."""
    return f"{value:#.3g}".rstrip(".")


def number(value: float) -> str:
    """Digits that a person reads at once: `3.21 M`, `812 k`, `940`."""
    for factor, letter in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e4, " k")):
        if abs(value) >= factor:
            value /= factor if letter != " k" else 1e3
            return f"{value:.3g}{letter}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def money(usd: float | None) -> str:
    """Dollars of a step; a dash where no price is known."""
    if usd is None:
        return "-"
    if usd >= 100:
        return f"${usd:,.0f}"
    return f"${usd:.2f}" if usd >= 1 else f"${usd:#.2g}"


def energy(joules: float) -> str:
    """Energy of a step: `4.2 kWh`, `310 Wh`, `85 J`."""
    if joules >= 3.6e6:
        return f"{number(joules / 3.6e6)} kWh"
    return f"{joules / 3600:.3g} Wh" if joules >= 360 else f"{joules:.3g} J"


def carbon(grams: float | None) -> str:
    """Carbon of a step; a dash where no source is known."""
    if grams is None:
        return "-"
    return f"{number(grams / 1000)} kg" if grams >= 1000 else f"{grams:.3g} g"


def headline(priced: PricedPlan) -> str:
    """One plan in one line."""
    plan = priced.plan
    more = extras(plan)
    return f"{degrees(plan)}, micro-batch {micro_batch(plan)}, {schedule(plan)}" + (
        f", {more}" if more else ""
    )
