"""The fields of a scenario file: their names, kinds, meanings and examples."""

from typing import Annotated

from pydantic import Field

from irongrid.spec import amounts, paths, values
from irongrid.spec.fields import API_VERSION
from irongrid.spec.findings import Path, shown
from irongrid.spec.sections import Grammar, Section, about, walk
from irongrid.spec.values import Kind, Wrong, wrong

DATASETS = ("csv", "philly", "helios-venus", "sia", "pollux")
# Those whose jobs were measured on one cluster of their own.
OWN_CLUSTER = frozenset({"sia", "pollux"})
MAX_JOBS = 1_000_000
_YEAR_S = 365 * 86400.0


def fleet_or_path() -> Kind:
    """A fleet file's path, or a fleet; the fleet itself is checked as a fleet file is."""

    def check(value: object) -> object:
        if isinstance(value, dict) or (isinstance(value, str) and value):
            return value
        fix = "Write `fleet: lab.yaml`, or a fleet's own fields below it"
        raise wrong(Wrong(f"expected a fleet or the path of one, got {shown(value)}", fix))

    return Kind(check, {"type": ["string", "object"]})


def weights() -> Kind:
    """Names with weights."""
    number = values.number(0, 1_000_000, above=True)

    def check(value: object) -> dict[str, float]:
        if not isinstance(value, dict) or not value:
            got = "an empty mapping" if value == {} else shown(value)
            raise wrong(
                Wrong(f"expected weights by name, got {got}", "Write `{vision: 2, nlp: 1}`")
            )
        parts = []
        for name, weight in value.items():
            if not values.is_name(name):
                fix = "Use letters, digits, dots, dashes or underscores"
                parts.append(Wrong("is not a name", fix, (name,)))
            elif type(weight) not in (int, float) or not 0 < weight <= 1_000_000:
                problem = f"expected a weight above 0, got {shown(weight)}"
                parts.append(Wrong(problem, "Write a number such as 2", (name,)))
        if parts:
            raise wrong(*parts)
        return {name: float(weight) for name, weight in value.items()}

    names = dict(values.job_name().schema)
    schema = {"type": "object", "minProperties": 1, "propertyNames": names}
    return Kind(check, {**schema, "additionalProperties": dict(number.schema)})


class Arrivals(Section):
    """When jobs come: at random (Poisson), more of them by day if wanted."""

    example = "{per_hour: 30}"
    required = ("per_hour",)

    per_hour: Annotated[float | None, values.number(0, 1_000_000, above=True)] = about(
        "mean arrivals in an hour", 30
    )
    daily_swing: Annotated[float | None, values.number(0, 1)] = about(
        "how much the rate rises at noon and falls at midnight, as a share of the mean", 0.5
    )


class Size(Section):
    """How many devices some of the jobs want."""

    example = "{devices: 8, weight: 1}"
    required = ("devices",)

    devices: Annotated[int | None, values.whole(1, amounts.MAX_COUNT)] = about(
        "devices of a job", 8
    )
    weight: Annotated[float | None, values.number(0, 1_000_000, above=True)] = about(
        "how often, beside the other sizes", 1
    )


class Durations(Section):
    """How long jobs run: log-normal, as most traces nearly are."""

    example = "{median: 20m, p90: 6h}"
    required = ("median", "p90")

    median: Annotated[float | None, amounts.duration_s(1, _YEAR_S)] = about(
        "half of the jobs run no longer", "20m"
    )
    p90: Annotated[float | None, amounts.duration_s(1, _YEAR_S)] = about(
        "nine of ten jobs run no longer", "6h"
    )


class Generator(Section):
    """Jobs drawn at random; the same seed draws the same jobs."""

    example = "{jobs: 500, arrivals: {per_hour: 30}, durations: {median: 20m, p90: 6h}}"
    required = ("jobs", "arrivals", "sizes", "durations")

    jobs: Annotated[int | None, values.whole(1, MAX_JOBS)] = about("how many", 500)
    arrivals: Arrivals = Field(default_factory=Arrivals)
    sizes: list[Size] = Field(
        default_factory=list,
        description="what they want",
        examples=["[{devices: 1, weight: 6}, {devices: 8, weight: 1}]"],
    )
    durations: Durations = Field(default_factory=Durations)
    teams: Annotated[dict[str, float] | None, weights()] = about(
        "who hands them in, by weight; one team by default", {"vision": 2, "nlp": 1}
    )


class Workload(Section):
    """Who asks for what, and when: a recorded file, or a generator."""

    example = "{file: jobs.csv}"

    file: Annotated[str | None, paths.path()] = about(
        "a recorded workload, relative to the scenario's file", "jobs.csv"
    )
    dataset: Annotated[str | None, values.choice(*DATASETS)] = about(
        "format of the file, and the rules that come with it; `csv` is what "
        "`irongrid twin import` writes",
        "csv",
    )
    head: Annotated[int | None, values.whole(1, MAX_JOBS)] = about(
        "only so many jobs of the file, the first ones", 1000
    )
    generator: Generator = Field(default_factory=Generator)


class ScenarioFields(Section):
    """An experiment for the digital twin: a fleet, a workload, and the policy to try."""

    example = "{workload: {file: jobs.csv}, fleet: lab.yaml, policy: fifo-backfill}"
    required = ("workload", "policy")

    apiVersion: Annotated[str | None, values.choice(API_VERSION)] = about(  # noqa: N815
        "version of this format", API_VERSION
    )
    name: Annotated[str | None, values.job_name()] = about(
        "name for people; the name of the file by default", "eight-more-nodes"
    )
    fleet: Annotated[object | None, fleet_or_path()] = about(
        "a fleet file's path, or a fleet's own fields; the data set's own cluster by default",
        {"pools": {"h100": {"accelerator": "H100", "nodes": 4}}},
    )
    workload: Workload = Field(default_factory=Workload)
    policy: Annotated[str | None, values.job_name()] = about("whose decisions", "fifo-backfill")
    seed: Annotated[int | None, values.whole(0, 2**32 - 1)] = about(
        "of everything random; 0 by default", 0
    )


NOT_YET: dict[Path, str] = {
    ("faults",): "Remove it; nothing fails here",
    ("checkpoint",): "Remove it; saving takes no time here",
    ("knowledge",): "Remove it; policies learn from what has ended in the run",
    ("teams",): "Remove it; all teams share one queue",
    ("until",): "Remove it; a scenario runs until its last job has ended",
    ("repeats",): "Remove it, and run the scenario with other seeds",
    ("workload", "scale"): "Remove it; a recorded workload is replayed as it is",
    ("workload", "elastic"): "Remove it; jobs of a scenario keep their size",
}
OTHER_WORDS: dict[str, Path] = {
    "trace": ("workload", "file"), "path": ("workload", "file"), "cluster": ("fleet",),
    "scheduler": ("policy",), "random_seed": ("seed",), "format": ("workload", "dataset"),
    "rate": ("workload", "generator", "arrivals", "per_hour"),
    "num_jobs": ("workload", "generator", "jobs"), "count": ("workload", "generator", "jobs"),
    "limit": ("workload", "head"), "first": ("workload", "head"),
}  # fmt: skip
GRAMMAR = Grammar(dict(walk(ScenarioFields)), NOT_YET, OTHER_WORDS)
