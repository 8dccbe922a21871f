"""Elastic jobs in the twin: who decides on them, and what is known of them.

Levels of knowledge, each with all of those before it: `none` is what a job says at its submission
and what it reports itself; `shared` what jobs of its application report in this run; `history` what
they reported in replays of other workloads. `oracle` is the truth, as a bound.
"""

from dataclasses import dataclass

from irongrid.domain.device import Node
from irongrid.domain.job import JobSpec, Resources, RunTask
from irongrid.errors import Problem, SpecError
from irongrid.forecast.fleet import FleetSizes
from irongrid.forecast.goodputs import Goodputs
from irongrid.scheduler.cluster import Policy
from irongrid.scheduler.default import Default
from irongrid.scheduler.outlook import Forecaster
from irongrid.scheduler.sia import Sia
from irongrid.scheduler.sizes import Sizes, sizes_of
from irongrid.twin.driver import Driver
from irongrid.twin.fleets import relative_speeds
from irongrid.twin.learner import GoodputLearner
from irongrid.twin.oracle import Oracle
from irongrid.twin.truth.traces import Elastic, Workload
from irongrid.twin.truth.world import TraceJob

KNOWLEDGE = ("none", "shared", "history", "oracle")
POLICIES = ("default", "sia")
_TASK = RunTask(argv=("train",))
# No elastic job of the sets may hold more (`data/sia/README.md`).
MOST_RANKS = 64


@dataclass(frozen=True, slots=True)
class ElasticRun:
    """A driver with elastic jobs, and how a job of the workload is handed in."""

    driver: Driver
    elastic: Elastic

    def spec(self, job: TraceJob) -> JobSpec:
        """What a person would have asked for: bounds in place of a size."""
        limits = self.elastic.adaptive(job)
        rigid = limits.init_batch_size == limits.max_batch_size
        least = min(local.least for local in limits.local)
        most = min(MOST_RANKS, limits.max_batch_size // least)
        sizes = (job.gpus,) if rigid else tuple(range(1, most + 1))
        return JobSpec(
            name=job.group,
            task=_TASK,
            workdir="/",
            resources=Resources(sizes=sizes),
            adaptive=limits,
        )


def elastic_run(
    workload: Workload,
    fleet: tuple[Node, ...],
    policy: str,
    knowledge: str,
    learned: Goodputs | None = None,
) -> ElasticRun:
    """A world whose jobs are elastic.

    Args:
        learned: what earlier runs have taught, for `history`.

    Raises:
        SpecError: the jobs of this set have a size of their own.
    """
    if workload.elastic is None:
        problem = f"the jobs of this set have fixed sizes, which {policy} would change"
        fix = "Use a policy for fixed sizes, or a set with measured profiles: sia or pollux"
        raise SpecError([Problem(field="--policy", problem=problem, fix=fix)])
    futures, sizes = workload.elastic.futures(fleet), sizes_of(fleet)
    brain: Oracle | GoodputLearner
    if knowledge == "oracle":
        brain = Oracle(sizes, futures)
    else:
        brain = GoodputLearner(learned or goodputs(sizes, shared=knowledge != "none"))
    driver = Driver(fleet, futures, _policy(policy, brain, sizes), brain)
    brain.state = driver.state
    if isinstance(brain, GoodputLearner):
        driver.watchers.append(brain)
    return ElasticRun(driver, workload.elastic)


def goodputs(sizes: Sizes, *, shared: bool) -> Goodputs:
    """A forecast that knows nothing yet but the data sheets of the fleet."""
    fleet = FleetSizes(
        kinds=sizes.kinds,
        kind_C=sizes.kind_C,
        devices_C=sizes.devices_C,
        nodes_C=sizes.nodes_C,
        speed=relative_speeds(sizes.kinds),
    )
    return Goodputs(fleet, shared=shared)


def _policy(name: str, forecaster: Forecaster, sizes: Sizes) -> Policy:
    return Sia(forecaster, sizes) if name == "sia" else Default(forecaster, sizes)
