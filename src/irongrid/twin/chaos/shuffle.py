"""A policy that moves jobs about for no reason: what moves and reserved places must survive.

It starts jobs in order. On its tick it lets a running job go on elsewhere, at another of its sizes
where it has more, and gives the place to the first in the queue if that fits there.
"""

from random import Random

from irongrid.domain.decision import Action, Reserve
from irongrid.domain.job import Resources
from irongrid.scheduler.cluster import Cluster, Running
from irongrid.scheduler.in_order import start_in_order
from irongrid.scheduler.order import Waiting
from irongrid.units import NS_PER_S


class Shuffle:
    """First in, first out, and now and then a move."""

    name = "shuffle"
    every_ns: int | None = 30 * NS_PER_S

    def __init__(self, seed: int) -> None:
        self._draw = Random(seed)  # noqa: S311

    def rank(self, job: Waiting) -> float:
        """All equal: ties go to the older job."""
        return 0.0

    def kind(self, job: Waiting) -> str:
        """All jobs of one need stand in one line."""
        return ""

    def line_rank(self, kind: str, need: Resources) -> float:
        """Lines have nothing in common."""
        return 0.0

    def held(self) -> None:
        """It moves, and stops nobody."""

    def decide(self, cluster: Cluster) -> list[Action]:
        """The actions of one round."""
        actions = start_in_order(cluster, backfill=True)
        if actions or self._draw.random() < 0.5:
            return actions
        movable = [run for run in cluster.active() if run.works]
        return self._move(cluster, self._draw.choice(movable)) if movable else actions

    def _move(self, cluster: Cluster, run: Running) -> list[Action]:
        need = run.spec.resources
        with cluster.rooms.trial() as trial:
            if self._draw.random() < 0.5:
                # Somebody else may have the place: the job looks for another one.
                place = cluster.rooms.consolidated(need, self._draw.choice(need.sizes))
                trial.release(run.placement, need)
            else:
                trial.release(run.placement, need)
                place = cluster.rooms.consolidated(need, self._draw.choice(need.sizes))
            if place is None or place == run.placement:
                return []
            trial.take(place, need)
            actions: list[Action] = [cluster.move(run.id, place, "for no reason")]
            for job in cluster.queued():
                waiting = cluster.waiting(job)
                theirs = waiting.spec.resources
                found = trial.rooms.consolidated(theirs, self._draw.choice(theirs.sizes))
                if found is not None:
                    actions.append(Reserve(job=job, placement=found))
                    break
        return actions
