"""What one field means for another.

Every rule runs on whatever could be read, also beside other problems; it keeps silent where a value
that it needs is missing or wrong itself.
"""

from collections.abc import Iterator
from dataclasses import replace

from irongrid.domain.model import PRESETS, ModelShape
from irongrid.spec.amounts import Count
from irongrid.spec.fields import Job, Model, Train
from irongrid.spec.findings import Finding, Path, one_of, quoted
from irongrid.spec.sections import missing

MAX_SIZES = 256
# What a model without a preset must say.
SHAPE = ("layers", "hidden", "heads", "ffn", "vocab")


def check(job: Job, known: frozenset[Path]) -> Iterator[Finding]:
    """Findings about fields taken together.

    Args:
        known: places that need no further word, as the file gives something there that is wrong.
    """
    yield from _task(job, known)
    yield from missing(job, (), known)
    yield from _only_for_train(job)
    yield from _paths(job, known)
    yield from _accelerator(job)
    if job.has("train"):
        yield from _model(job.train, known)
        yield from _schedule(job.train)
    yield from _gang(job, known)


def _task(job: Job, known: frozenset[Path]) -> Iterator[Finding]:
    run = job.has("run") or ("run",) in known
    train = job.has("train") or ("train",) in known
    if run and train:
        yield Finding(("train",), "run and train are both given", "Keep one of them")
    elif not run and not train:
        fix = "Add `run: COMMAND` for your own program, or a `train:` section for the recipe"
        yield Finding((), "neither run nor train is given", fix)


def _only_for_train(job: Job) -> Iterator[Finding]:
    if job.has("run") and not job.has("train") and job.has("checkpoint"):
        fix = "Remove it; a command saves its own state, see irongrid.session"
        yield Finding(("checkpoint",), "is for train jobs only", fix)


def _paths(job: Job, known: frozenset[Path]) -> Iterator[Finding]:
    """A file's paths were made absolute before; these are about documents from elsewhere."""
    if job.workdir is None and ("workdir",) not in known:
        yield Finding(("workdir",), "is required", "Send the absolute path of a folder")
    data = job.train.data.path or ()
    places: list[tuple[Path, str]] = [
        (("workdir",), job.workdir or "/"),
        (("interpreter",), job.interpreter or "/"),
        *((("train", "data", "path"), pattern) for pattern in data if pattern != "stdlib"),
    ]
    for place, path in places:
        if not path.startswith("/"):
            yield Finding(place, f"{quoted(path)} is not an absolute path", "Send the full path")


def _accelerator(job: Job) -> Iterator[Finding]:
    chosen = job.resources.accelerator
    if chosen is not None and chosen.devices is not None and job.resources.has("count"):
        yield Finding(
            ("resources", "count"),
            "is given beside a count in resources.accelerator",
            f"Keep one: `accelerator: {chosen.device_type}` goes with a count",
        )


def shape_of(model: Model) -> ModelShape | None:
    """The shape that a file asks for; None while numbers are missing."""
    numbers = {name: value for name, value in model.given().items() if name != "preset"}
    if model.preset is not None:
        return replace(PRESETS[model.preset], **numbers)
    if any(name not in numbers for name in SHAPE):
        return None
    return ModelShape(**{"kv_heads": numbers["heads"], **numbers})


def _model(train: Train, known: frozenset[Path]) -> Iterator[Finding]:
    model, here = train.model, ("train", "model")
    shape = shape_of(model)
    if shape is not None:
        yield from _heads(model, shape)
    elif train.has("model") and (*here, "preset") not in known:
        missing = [n for n in SHAPE if not model.has(n) and (*here, n) not in known]
        if missing:
            fix = "Add what is missing, or begin with `preset: llama-3m`"
            yield Finding(here, f"has no preset, and no {', '.join(missing)}", fix)


def _heads(model: Model, shape: ModelShape) -> Iterator[Finding]:
    head, rest = divmod(shape.hidden, shape.heads)
    where = ("train", "model", "hidden" if not model.has("heads") else "heads")
    if rest or head % 2:
        fitting = [n for n in range(1, 1025) if shape.hidden % (2 * n) == 0]
        fix = f"Use heads: {_nearest(fitting, shape.heads)}" if fitting else "Use an even hidden"
        problem = (
            f"heads={shape.heads} does not divide hidden={shape.hidden}"
            if rest
            else f"hidden / heads = {head} is odd, and rotary embedding needs pairs"
        )
        yield Finding(where, problem, fix)
    if shape.heads % shape.kv_heads:
        where = ("train", "model", "kv_heads" if model.has("kv_heads") else "heads")
        problem = f"kv_heads={shape.kv_heads} does not divide heads={shape.heads}"
        fitting = [n for n in range(1, shape.heads + 1) if shape.heads % n == 0]
        yield Finding(where, problem, f"Use kv_heads: {_nearest(fitting, shape.kv_heads)}")


def _schedule(train: Train) -> Iterator[Finding]:
    warmup, steps = train.warmup_steps, train.steps
    if warmup is not None and steps is not None and warmup > steps:
        problem = f"warmup_steps={warmup} is more than steps={steps}"
        yield Finding(("train", "warmup_steps"), problem, f"Use at most {steps}")
    batch, micro = train.global_batch, train.micro_batch
    if batch is not None and micro is not None and batch % micro:
        problem = f"micro_batch={micro} does not divide global_batch={batch}"
        fitting = [n for n in range(1, min(batch, 2 * micro) + 1) if batch % n == 0]
        fix = f"Use micro_batch: {_nearest(fitting, micro)}"
        yield Finding(("train", "micro_batch"), problem, fix)


def gang_sizes(job: Job) -> list[int]:
    """The sizes, ascending, on which the job can run."""
    sizes = range(count_of(job).least, count_of(job).most + 1)
    if not job.has("train"):
        return list(sizes)
    batch, unit, copies = _shares(job.train)
    return [n for n in sizes if n % copies == 0 and (batch is None or batch % (n * unit) == 0)]


def count_of(job: Job) -> Count:
    """The count that a file asks for; 1 by default."""
    chosen = job.resources.accelerator
    if chosen is not None and chosen.devices is not None:
        return Count(chosen.devices, chosen.devices)
    return job.resources.count or Count(1, 1)


def _shares(train: Train) -> tuple[int | None, int, int]:
    """Samples per step, samples that stay together, and ranks that stay together."""
    batch, micro = train.global_batch, train.micro_batch
    if batch is not None and micro is not None and batch % micro:
        micro = None  # reported by itself
    return batch, micro or 1, train.dp_replicate or 1


def _gang(job: Job, known: frozenset[Path]) -> Iterator[Finding]:
    places: list[Path] = [("resources",), ("resources", "count"), ("resources", "accelerator")]
    if any(place in known for place in places):
        return
    place = places[1 if job.resources.has("count") else 2]
    sizes, count = gang_sizes(job), count_of(job)
    if len(sizes) > MAX_SIZES:
        problem = f"the range {count.least}..{count.most} allows {len(sizes)} sizes"
        yield Finding(place, problem, f"Use a range with at most {MAX_SIZES}")
    if sizes:
        return
    batch, unit, copies = _shares(job.train)
    if not any(n % copies == 0 for n in range(count.least, count.most + 1)):
        problem = f"dp_replicate={copies} does not divide {_ranks(count)}"
        fix = f"Use a count of {copies} or a multiple of it, or another dp_replicate"
        yield Finding(("train", "dp_replicate"), problem, fix)
        return
    assert batch is not None, "only a batch can rule out the sizes that dp_replicate allows"
    most = min(batch // unit, 4 * count.most)
    fitting = [n for n in range(copies, most + 1, copies) if batch % (n * unit) == 0]
    pieces = f" in micro batches of {unit}" if unit > 1 else ""
    problem = f"global_batch={batch} cannot be shared equally by {_ranks(count)}{pieces}"
    share = -(-count.least // copies) * copies * unit
    larger = f"a global_batch such as {-(-batch // share) * share}"
    fix = f"Use a count of {_nearest(fitting, count.least)}, or {larger}" if fitting else larger
    yield Finding(place, problem, fix)


def _ranks(count: Count) -> str:
    if count.least == count.most:
        return f"{count.least} rank{'s' if count.least > 1 else ''}"
    return f"any count from {count.least} to {count.most}"


def _nearest(fitting: list[int], wanted: int) -> str:
    """The few values next to the one that was wanted, as words."""
    near = sorted(sorted(fitting, key=lambda value: (abs(value - wanted), value))[:4])
    return one_of([str(value) for value in near])
