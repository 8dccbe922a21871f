"""What can be run: a workload on a cluster under a policy, from a scenario or by hand."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from irongrid.domain.device import Node
from irongrid.domain.fleet import Fleet
from irongrid.domain.scenario import Recorded, Scenario
from irongrid.errors import Problem, Refused, SpecError
from irongrid.twin.clusters import nodes_of
from irongrid.twin.replay import Observer, ReplayOptions, replay_workload
from irongrid.twin.runs import Run, observed
from irongrid.twin.truth.datasets import read
from irongrid.twin.truth.drawn import drawn
from irongrid.twin.truth.traces import Workload
from irongrid.twin.truth.world import TraceJob

# Data sets whose jobs have speeds on some device types only.
OWN_CLUSTER = frozenset({"sia", "pollux"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A workload, a cluster and a policy, ready to run.

    Attributes:
        fleet: where its prices and watts are known.
    """

    name: str
    workload: Workload
    options: ReplayOptions
    fleet: Fleet | None

    @property
    def jobs(self) -> tuple[TraceJob, ...]:
        """Those that will come."""
        head = self.options.head
        return self.workload.jobs[:head] if head else self.workload.jobs


def trial_of(scenario: Scenario, *, check: bool = False) -> Trial:
    """The trial that a scenario asks for.

    Raises:
        SpecError: the workload cannot be read, or does not go with the fleet.
        Refused: a job needs more than the fleet has.
    """
    source = scenario.workload
    if isinstance(source, Recorded):
        workload, dataset = read(source.dataset, Path(source.file)), source.dataset
    else:
        workload, dataset = drawn(source, scenario.seed), "generated"
    head = source.head if isinstance(source, Recorded) else 0
    options = ReplayOptions(
        dataset=dataset, workload=Path(), policy=scenario.policy, check=check, head=head
    )
    trial = Trial(name=scenario.name, workload=workload, options=options, fleet=scenario.fleet)
    return trial if scenario.fleet is None else on_fleet(trial, scenario.fleet)


def run_trial(trial: Trial, observers: Sequence[Observer] = ()) -> Run:
    """Run it to its end.

    Raises:
        SpecError: there is no such policy, or it does not go with the workload.
    """
    return observed(
        trial.name,
        trial.jobs,
        trial.fleet,
        lambda recorder: replay_workload(trial.workload, trial.options, (*observers, recorder)),
    )


def verified(trial: Trial) -> Trial:
    """The trial, once its first job alone has run: a wrong word is found before a long run.

    Raises:
        SpecError: there is no such policy, or it does not go with the workload.
    """
    replay_workload(trial.workload, replace(trial.options, head=1, check=False))
    return trial


def on_fleet(trial: Trial, fleet: Fleet) -> Trial:
    """The same on another fleet.

    Raises:
        SpecError: a job asks for a device type that the fleet does not have, or the jobs' speeds
            were measured on a cluster of their own.
        Refused: a job needs more devices than the fleet has.
    """
    if trial.options.dataset in OWN_CLUSTER:
        problem = f"the jobs of {trial.options.dataset} were measured on a cluster of their own"
        raise SpecError([Problem(field="--fleet", problem=problem, fix="Leave --fleet out")])
    nodes = nodes_of(fleet)
    jobs = _typed(trial.workload.jobs, nodes)
    workload = replace(trial.workload, jobs=jobs, nodes=len(nodes), fleet=lambda _: nodes)
    found = replace(trial, workload=workload, fleet=fleet)
    refuse_misfits(found.jobs, nodes)
    return found


def refuse_misfits(jobs: Iterable[TraceJob], nodes: Sequence[Node]) -> None:
    """Say before the run what could never start.

    Raises:
        Refused: with how many jobs that are.
    """
    by_type: dict[str, int] = {}
    for node in nodes:
        by_type[node.device_type] = by_type.get(node.device_type, 0) + node.devices
    most = max(by_type.values())
    too_large = [job for job in jobs if job.gpus > by_type.get(job.device_type, most)]
    if too_large:
        worst = max(too_large, key=lambda job: job.gpus)
        has = by_type.get(worst.device_type, most)
        more = len(too_large) - 1
        others = f", and {more} more do{'es' if more == 1 else ''} not fit" if more else ""
        problem = f"{worst.key} needs {worst.gpus} devices at once; the fleet has {has}{others}"
        raise Refused("never_fits", problem, "Use a larger fleet, or take these jobs out")


def _typed(jobs: tuple[TraceJob, ...], nodes: Sequence[Node]) -> tuple[TraceJob, ...]:
    """Jobs whose device types are called as the fleet calls them."""
    names = list(dict.fromkeys(node.device_type for node in nodes))
    found: dict[str, str] = {"": ""}
    out = []
    for job in jobs:
        asked = job.device_type
        if asked not in found:
            found[asked] = _same_type(asked, names, job)
        out.append(job if found[asked] == asked else replace(job, device_type=found[asked]))
    return tuple(out)


def _same_type(asked: str, names: Sequence[str], job: TraceJob) -> str:
    """`a100` and `nvidia_a100-sxm4-80gb` may mean the fleet's `A100-80GB`."""
    words = {_letters(name): name for name in names}
    if _letters(asked) in words:
        return words[_letters(asked)]
    alike = [
        name
        for word, name in words.items()
        if _letters(asked) in word or word in _letters(asked) or word[:4] in _letters(asked)
    ]
    if len(alike) == 1:
        return alike[0]
    problem = f"{job.key} asks for {asked!r}; the fleet has {', '.join(names)}"
    fix = "Add a pool of that type, or take the column device_type out"
    raise SpecError([Problem(field="device_type", problem=problem, fix=fix, source="workload")])


def _letters(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum())
