"""What a person asks the planner: a model, a fleet, a goal, and the degrees that are fixed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields

from irongrid.domain.fleet import Fleet, Pool
from irongrid.domain.model import ModelShape
from irongrid.domain.plan import ParallelPlan
from irongrid.domain.runtime import RUNTIMES, Ability
from irongrid.domain.training import OPTIMIZERS, Training
from irongrid.errors import Problem, SpecError
from irongrid.planner.space import WORDS, Space

GOALS = ("time", "cost", "energy", "carbon")
# Beyond these nothing is a plan any more, and 64-bit products of degrees would overflow.
DEVICES_MAX = 2**24
BATCH_MAX = 2**31
SEQ_LEN_MAX = 2**27
MODEL_MAX = 2**24
KEEP_MAX = 1000

Pin = int | str | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What matters, as weights on the logarithm of each figure, so that units do not.

    A weight of 0.6 on time and 0.3 on cost says: 1% of time is worth 2% of cost.
    """

    time: float = 0.0
    cost: float = 0.0
    energy: float = 0.0
    carbon: float = 0.0

    @property
    def weights(self) -> dict[str, float]:
        """The weights above zero, by goal."""
        return {name: getattr(self, name) for name in GOALS if getattr(self, name) > 0}


def goal_of(wish: Goal | str | Mapping[str, float]) -> Goal:
    """A goal from its name or from weights.

    Raises:
        SpecError: an unknown goal, or weights that are negative or all zero.
    """
    if isinstance(wish, Goal):
        return wish
    weights: Mapping[str, float] = {wish: 1.0} if isinstance(wish, str) else wish
    unknown = [name for name in weights if name not in GOALS]
    if unknown:
        raise _wrong("goal", f"{unknown[0]!r} is not a goal", f"Use one of {', '.join(GOALS)}")
    if any(not 0 <= weight < float("inf") for weight in weights.values()) or not any(
        weights.values()
    ):
        said = ",".join(f"{name}={weight:g}" for name, weight in weights.items())
        fix = "Give numbers of at least 0, one of them above: time=0.6,cost=0.4"
        raise _wrong("goal", f"{said} are no weights", fix)
    return Goal(**weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question to the planner.

    Attributes:
        devices: how many to use; None is as many as the pool has.
        pool: the pool to use; None tries each pool, and mixes of them.
        pins: fields of `ParallelPlan` (and `dp`) that are fixed; `stage_layers` as text: `9,9,9,5`.
        goal: what the best plan is best at.
        keep: how many plans the answer lists.
        space: the values to try for each field; None is all that the runtime and model allow.
    """

    model: ModelShape
    training: Training
    fleet: Fleet
    devices: int | None = None
    pool: str | None = None
    pins: Mapping[str, Pin] = field(default_factory=dict)
    goal: Goal | str | Mapping[str, float] = "time"
    keep: int = 5
    space: Space | None = None

    @property
    def ability(self) -> Ability:
        """What the training's runtime can run."""
        return RUNTIMES[self.training.runtime]

    @property
    def pools(self) -> tuple[Pool, ...]:
        """The pools to try."""
        return tuple(pool for pool in self.fleet.pools if self.pool in (None, pool.name))

    @property
    def stage_layers(self) -> tuple[int, ...]:
        """The layers of each stage where they are fixed, else none."""
        return _split(self.pins["stage_layers"]) if "stage_layers" in self.pins else ()


def _split(text: Pin) -> tuple[int, ...]:
    """Layers of each stage as they are typed; none where that is no list of whole numbers."""
    parts = [part.strip() for part in str(text).split(",")]
    # Nobody types longer numbers, and a machine should not multiply them.
    whole = all(part.isdecimal() and len(part) <= 9 for part in parts)
    return tuple(map(int, parts)) if whole else ()


# What may be pinned: numbers with the largest that means anything, and words.
_NUMBERS = {
    "tp": DEVICES_MAX, "pp": DEVICES_MAX, "cp": DEVICES_MAX, "ep": DEVICES_MAX, "dp": DEVICES_MAX,
    "dp_replicate": DEVICES_MAX, "dp_shard": DEVICES_MAX, "micro_batch": BATCH_MAX,
    "grad_accum": BATCH_MAX, "virtual_stages": DEVICES_MAX, "sites": DEVICES_MAX,
    "sync_every": BATCH_MAX,
}  # fmt: skip
PINS = frozenset({*_NUMBERS, *WORDS, "sequence_parallel", "stage_layers"})


def check(question: Question) -> None:
    """Refuse a question that no fleet could answer, with every problem at once.

    Raises:
        SpecError: what is wrong, and how to put it right.
    """
    problems = [*_of_model(question.model), *_of_training(question.training), *_of_fleet(question)]
    problems += _of_pins(question.pins)
    if "stage_layers" in question.pins:
        problems += _of_split(question)
    if not 1 <= question.keep <= KEEP_MAX:
        fix = f"Ask for 1 to {KEEP_MAX:,} plans"
        problems.append(Problem(field="keep", problem=f"is {question.keep:,}", fix=fix))
    if problems:
        raise SpecError(problems)
    goal_of(question.goal)


def _wrong(name: str, problem: str, fix: str) -> SpecError:
    return SpecError([Problem(field=name, problem=problem, fix=fix)])


def _of_pins(pins: Mapping[str, Pin]) -> Iterator[Problem]:
    for name, value in pins.items():
        if name in _NUMBERS:
            most = _NUMBERS[name]
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
                fix = f"Give a whole number from 1 to {most:,}"
                yield Problem(field=name, problem=f"is {value!r}", fix=fix)
        elif name in WORDS:
            if value not in WORDS[name]:
                fix = f"Use one of {', '.join(WORDS[name])}"
                yield Problem(field=name, problem=f"{value!r} is not known", fix=fix)
        elif name not in PINS:
            known = {item.name for item in fields(ParallelPlan)}
            problem = "cannot be pinned" if name in known else "no such field of a plan"
            yield Problem(field=name, problem=problem, fix=f"Use one of {', '.join(sorted(PINS))}")
        elif name != "stage_layers" and not isinstance(value, bool):
            yield Problem(field=name, problem=f"is {value!r}", fix="Give true or false")


def _of_split(question: Question) -> Iterator[Problem]:
    """What is wrong with the layers of each stage as they are fixed."""
    split, layers = question.stage_layers, question.model.layers
    typed, pp = question.pins["stage_layers"], question.pins.get("pp", len(split))
    if not split or min(split) < 1:
        fix = "Give the layers of each stage, such as 9,9,9,5"
        yield Problem(field="stage_layers", problem=f"is {str(typed)[:40]!r}", fix=fix)
    elif sum(split) != layers:
        problem, fix = f"they add up to {sum(split):,}", f"Give out all {layers:,} layers"
        yield Problem(field="stage_layers", problem=problem, fix=fix)
    elif pp != len(split):
        problem, fix = f"there are {len(split)} stages, and pp={pp}", "Leave pp out"
        yield Problem(field="stage_layers", problem=problem, fix=fix)
    elif len(set(split)) > 1 and not question.ability.uneven_stages:
        runtime = question.training.runtime
        fix = "Give every stage as many, or plan for megatron, torchtitan or any"
        problem = f"{runtime} has stages of equal depth only"
        yield Problem(field="stage_layers", problem=problem, fix=fix)


def _of_model(model: ModelShape) -> list[Problem]:
    positive = {
        name: getattr(model, name) for name in ("layers", "hidden", "heads", "kv_heads", "ffn")
    }
    if model.experts is not None:
        positive |= {
            "experts.count": model.experts.count,
            "experts.top_k": model.experts.top_k,
            "experts.ffn": model.experts.ffn,
        }
    found = [
        Problem(
            field=f"model.{name}",
            problem=f"is {value}",
            fix=f"Give a whole number from 1 to {MODEL_MAX:,}",
        )
        for name, value in positive.items()
        if not 1 <= value <= MODEL_MAX
    ]
    if not found and model.heads % model.kv_heads:
        found.append(
            Problem(
                field="model.kv_heads",
                problem=f"{model.kv_heads} does not divide heads={model.heads}",
                fix="Give a divisor of the heads",
            )
        )
    if not 0 <= model.vocab <= MODEL_MAX:
        fix = f"Give a whole number from 0 to {MODEL_MAX:,}"
        found.append(Problem(field="model.vocab", problem=f"is {model.vocab}", fix=fix))
    return found


def _of_training(training: Training) -> list[Problem]:
    found = []
    for name, value, most in (
        ("global_batch", training.global_batch, BATCH_MAX),
        ("seq_len", training.seq_len, SEQ_LEN_MAX),
    ):
        if not 1 <= value <= most:
            fix = f"Give a whole number from 1 to {most:,}"
            found.append(Problem(field=name, problem=f"is {value}", fix=fix))
    for name, word, known in (
        ("runtime", training.runtime, tuple(RUNTIMES)),
        ("optimizer", training.optimizer, OPTIMIZERS),
    ):
        if word not in known:
            fix = f"Use one of {', '.join(known)}"
            found.append(Problem(field=name, problem=f"{word!r} is not known", fix=fix))
    ability = RUNTIMES.get(training.runtime)
    if ability is not None and training.precision not in ability.precisions:
        able = [name for name in RUNTIMES if training.precision in RUNTIMES[name].precisions]
        fix = f"Use one of {', '.join(sorted(ability.precisions))}"
        fix += f", or the runtime {', '.join(able)}" if able else ""
        problem = f"{training.runtime} does not train in {training.precision}"
        found.append(Problem(field="precision", problem=problem, fix=fix))
    if not 0 <= training.frozen_share <= 1:
        found.append(
            Problem(field="frozen_share", problem="is not a share", fix="Give a number from 0 to 1")
        )
    if training.lora_rank < 0:
        found.append(Problem(field="lora_rank", problem="is below 0", fix="Give 0 for none"))
    return found


def _of_fleet(question: Question) -> list[Problem]:
    fleet, training = question.fleet, question.training
    if not question.pools:
        names = ", ".join(pool.name for pool in fleet.pools) or "none"
        return [Problem(field="pool", problem="no such pool in the fleet", fix=f"It has: {names}")]
    found = []
    for pool in question.pools:
        if not 1 <= pool.devices <= DEVICES_MAX:
            problem = f"has {pool.devices:,} devices"
            fix = f"Give from 1 to {DEVICES_MAX:,}"
            found.append(Problem(field=f"fleet.{pool.name}", problem=problem, fix=fix))
        rates = [level.bytes_per_s for level in pool.levels]
        rates.append(pool.accelerator.memory_bytes_per_s)
        if any(not 0 < rate < float("inf") for rate in rates):
            problem = "a level of the network or the memory has no bandwidth"
            fix = "Give bytes_per_s above 0"
            found.append(Problem(field=f"fleet.{pool.name}", problem=problem, fix=fix))
    if not any(training.precision in pool.accelerator.flops_per_s for pool in question.pools):
        have = sorted({name for pool in question.pools for name in pool.accelerator.flops_per_s})
        problem = f"no device of the fleet computes in {training.precision}"
        found.append(
            Problem(field="precision", problem=problem, fix=f"Use one of {', '.join(have)}")
        )
    most = max(fleet.devices, 1)
    if question.devices is not None and not 1 <= question.devices <= most:
        problem = f"{question.devices:,} devices are asked for, the fleet has {fleet.devices:,}"
        found.append(Problem(field="devices", problem=problem, fix=f"Give from 1 to {most:,}"))
    return found
