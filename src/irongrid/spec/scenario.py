"""From a scenario file to a `Scenario`, or to a report of everything that is wrong."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from irongrid.domain.fleet import Fleet
from irongrid.domain.scenario import Generated, Recorded, Scenario
from irongrid.errors import Problem, SpecError
from irongrid.spec.document import check_json, default_name, read_file
from irongrid.spec.findings import Finding, Path, kind, report
from irongrid.spec.fleet import check_fleet, load_fleet
from irongrid.spec.scenario_fields import (
    GRAMMAR,
    OWN_CLUSTER,
    Generator,
    ScenarioFields,
    Size,
    Workload,
)
from irongrid.spec.sections import beneath, missing
from irongrid.spec.translate import validated
from irongrid.spec.yaml_text import Reading, Unreadable, read_yaml

ONE_TEAM = "team"
_WORKLOAD, _GENERATOR = ("workload",), ("workload", "generator")


@dataclass(frozen=True, slots=True)
class LoadedScenario:
    """A scenario, and where its file says what.

    Attributes:
        lines: by place in the file.
    """

    scenario: Scenario
    source: str
    lines: Mapping[Path, int]

    def in_file(self, error: SpecError) -> SpecError:
        """An error about an option, such as `--policy`, as one about the file's field."""
        findings = []
        for problem in error.problems:
            name = problem.field.removeprefix("--")
            if not problem.field.startswith("--") or (name,) not in self.lines:
                return error
            findings.append(Finding((name,), problem.problem, problem.fix))
        return report(findings, self.source, self.lines)


def load_scenario(path: str) -> LoadedScenario:
    """The scenario in a file. Paths in it start at its folder.

    Raises:
        SpecError: every problem, with its line; those of a fleet file of its own with theirs.
    """
    return parse_scenario_text(read_file(path), source=path, folder=os.path.dirname(path))


def parse_scenario_text(text: str, *, source: str, folder: str) -> LoadedScenario:
    """The scenario in a YAML or JSON text.

    Raises:
        SpecError: every problem, with its line.
    """
    try:
        reading = read_yaml(text)
    except Unreadable as unreadable:
        raise report(unreadable.findings, source, {}) from None
    scenario, findings, elsewhere = _check(reading, source, folder)
    if scenario is None:
        problems = report(findings, source, reading.lines).problems if findings else ()
        raise SpecError([*problems, *elsewhere])
    return LoadedScenario(scenario, source, reading.lines)


def _check(
    reading: Reading, source: str, folder: str
) -> tuple[Scenario | None, list[Finding], list[Problem]]:
    """The scenario, or what is wrong with it here and in its fleet's own file."""
    document = reading.document
    unfit = check_json(document)
    if unfit:
        return None, [*reading.findings, *unfit], []
    if not isinstance(document, Mapping):
        empty = document is None
        problem = "the scenario is empty" if empty else f"expected fields, got {kind(document)}"
        fix = "Begin with `workload: {file: jobs.csv}`, `fleet: lab.yaml` and `policy: fifo`"
        return None, [*reading.findings, Finding((), problem, fix)], []
    fields, findings, wrong = validated(ScenarioFields, document, GRAMMAR)
    known = frozenset(wrong | reading.broken)
    fleet, elsewhere = None, []
    try:
        fleet, problems = _fleet(fields, reading, source, folder)
        findings += problems
    except SpecError as error:
        elsewhere = list(error.problems)
    findings += missing(fields, (), known)
    findings += _rules(fields, fleet, known)
    findings = [item for item in findings if not beneath(item.path, reading.broken)]
    findings = [*reading.findings, *findings]
    if findings or elsewhere:
        return None, findings, elsewhere
    return _scenario(fields, fleet, source, folder), [], []


def _fleet(
    fields: ScenarioFields, reading: Reading, source: str, folder: str
) -> tuple[Fleet | None, list[Finding]]:
    if isinstance(fields.fleet, str):
        return load_fleet(_from(folder, fields.fleet)), []
    if fields.fleet is None:
        return None, []
    broken = {path[1:] for path in reading.broken if path[:1] == ("fleet",)}
    fleet, findings = check_fleet(Reading(fields.fleet, broken=broken), source)
    return fleet, [
        Finding(("fleet", *item.path), item.problem, item.fix, item.line) for item in findings
    ]


def _rules(
    fields: ScenarioFields, fleet: Fleet | None, known: frozenset[Path]
) -> Iterator[Finding]:
    """What one field means for another; silent where a value that it needs is wrong itself."""
    workload = fields.workload
    if not fields.has("workload") or _WORKLOAD in known:
        return
    recorded = workload.has("file") or (*_WORKLOAD, "file") in known
    generated = workload.has("generator") or _GENERATOR in known
    if recorded and generated:
        yield Finding(_GENERATOR, "is given beside a file", "Keep one of them")
    elif recorded:
        yield from _recorded(fields, known)
    elif generated:
        yield from _generated(fields, fleet, known)
    else:
        fix = "Add `file: jobs.csv`, or a `generator` section"
        yield Finding(_WORKLOAD, "has neither a file nor a generator", fix)


def _recorded(fields: ScenarioFields, known: frozenset[Path]) -> Iterator[Finding]:
    dataset = fields.workload.dataset or "csv"
    if dataset == "csv" and fields.fleet is None and ("fleet",) not in known:
        fix = "Add `fleet: lab.yaml`, or a fleet's own fields"
        yield Finding(("fleet",), "is required, as the workload says nothing of its cluster", fix)
    if dataset in OWN_CLUSTER and fields.fleet is not None:
        problem = f"the jobs of {dataset} were measured on a cluster of their own"
        yield Finding(("fleet",), problem, "Remove it")
    if fields.has("seed"):
        fix = "Remove it; a recorded workload is replayed as it is"
        yield Finding(("seed",), "there is nothing random in a recorded workload", fix)


def _generated(
    fields: ScenarioFields, fleet: Fleet | None, known: frozenset[Path]
) -> Iterator[Finding]:
    generator = fields.workload.generator
    for name in ("dataset", "head"):
        if fields.workload.has(name):
            yield Finding((*_WORKLOAD, name), "goes with a file only", "Remove it")
    if fields.fleet is None and ("fleet",) not in known:
        fix = "Add `fleet: lab.yaml`, or a fleet's own fields"
        yield Finding(("fleet",), "is required, as generated jobs have no cluster", fix)
    median, p90 = generator.durations.median, generator.durations.p90
    if median is not None and p90 is not None and p90 < median:
        fix = "Swap them; nine of ten are no fewer than half"
        yield Finding((*_GENERATOR, "durations", "p90"), "is below the median", fix)
    if generator.has("sizes") and not generator.sizes and (*_GENERATOR, "sizes") not in known:
        fix = "Add one: `- {devices: 1}`"
        yield Finding((*_GENERATOR, "sizes"), "there are no sizes", fix)
    for at, size in enumerate(generator.sizes):
        if fleet is not None and size.devices is not None and size.devices > fleet.devices:
            problem = f"{size.devices} devices are more than the fleet's {fleet.devices}"
            place = (*_GENERATOR, "sizes", at, "devices")
            yield Finding(place, problem, "Use fewer, or a larger fleet")


def _scenario(fields: ScenarioFields, fleet: Fleet | None, source: str, folder: str) -> Scenario:
    workload = fields.workload
    assert fields.policy is not None, "a scenario without a policy was refused"
    return Scenario(
        name=fields.name or default_name(source, "scenario"),
        fleet=fleet,
        workload=_drawn(workload.generator) if workload.file is None else _file(workload, folder),
        policy=fields.policy,
        seed=fields.seed or 0,
    )


def _file(workload: Workload, folder: str) -> Recorded:
    assert workload.file is not None, "a generator has no file"
    path = _from(folder, workload.file)
    return Recorded(file=path, dataset=workload.dataset or "csv", head=workload.head or 0)


def _from(folder: str, path: str) -> str:
    return os.path.normpath(os.path.join(folder, os.path.expanduser(path)))


def _drawn(given: Generator) -> Generated:
    arrivals, durations = given.arrivals, given.durations
    assert given.jobs is not None, "a generator without jobs was refused"
    assert arrivals.per_hour is not None, "arrivals without a rate were refused"
    assert durations.median is not None, "durations without a median were refused"
    assert durations.p90 is not None, "durations without a p90 were refused"
    return Generated(
        jobs=given.jobs,
        per_hour=arrivals.per_hour,
        daily_swing=arrivals.daily_swing or 0.0,
        sizes=tuple(_size(size) for size in given.sizes),
        median_s=durations.median,
        p90_s=durations.p90,
        teams=tuple((given.teams or {ONE_TEAM: 1.0}).items()),
    )


def _size(size: Size) -> tuple[int, float]:
    assert size.devices is not None, "a size without devices was refused"
    return size.devices, 1.0 if size.weight is None else size.weight
