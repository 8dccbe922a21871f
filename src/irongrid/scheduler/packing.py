"""Placing parts of devices, whole devices and CPUs, one node per job, by a weight of each choice.

All policies here take jobs in the order of submission and go on behind one that does not fit; they
differ in the node and device that they choose. A gang larger than any node is kept together on
whole nodes (`Rooms.consolidated`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from irongrid.domain.decision import Action, Start, Wait, WaitCode
from irongrid.domain.device import NodeShare, Placement
from irongrid.domain.ids import JobId
from irongrid.domain.job import WHOLE_MILLI, Resources
from irongrid.scheduler.cluster import Cluster
from irongrid.scheduler.columns import Columns, Floats, Ints
from irongrid.scheduler.fragments import Mix, Usual, lost, stranded
from irongrid.scheduler.order import Waiting
from irongrid.scheduler.rooms import Rooms, Trial

# The weight of each node and device for a need, `[R, D]` as in `Columns.fits`: smaller is better.
Weigh = Callable[[Columns, Ints, Resources, Usual | None], Floats]


def best_fit(columns: Columns, rows_R: Ints, need: Resources, usual: Usual | None) -> Floats:
    """The node with the least left: half the share of free CPUs, half that of free devices.

    Of a node's devices, the one with the least left. As the baseline of this name in the FGD paper.
    """
    left_RD = _left(columns, rows_R)
    if need.device_milli < WHOLE_MILLI:
        left_RD = left_RD + _DEVICE_TIE * columns.milli_ND[rows_R]
    return left_RD


def fgd(columns: Columns, rows_R: Ints, need: Resources, usual: Usual | None) -> Floats:
    """Where the expected fragments grow the least; among equals the tightest node.

    Growth is compared as in the authors' artifact: in whole hundredths of a sigmoid, so that what
    differs by less than some 40 thousandths of a device is equal. Differences to it: ties go to the
    tightest fit, where theirs are drawn; and the usual jobs are those with devices that have come
    so far, where theirs are those of the whole list beforehand, with jobs that need CPUs only.
    """
    left_RD = best_fit(columns, rows_R, need, usual)
    if usual is None:
        return left_RD
    taken_milli = need.sizes[0] * need.device_milli
    shrunk_RD = taken_milli - lost(columns, rows_R, need, usual)
    score_RD = np.floor(100 / (1 + np.exp(-shrunk_RD / WHOLE_MILLI)))
    return _NODE_TIE * left_RD - score_RD


def balanced(columns: Columns, rows_R: Ints, need: Resources, usual: Usual | None) -> Floats:
    """FGD's growth, what will lack CPUs in the long run, and a price on opening an empty node.

    FGD sees one job ahead: while the next job still fits, it does not mind that a node's CPUs will
    be at an end before its devices are. The price keeps whole nodes, which any job of the future
    can use, for those that need them.
    """
    left_RD = _left(columns, rows_R)
    if usual is None:
        return left_RD
    grown_RD = lost(columns, rows_R, need, usual)
    grown_RD = grown_RD + stranded(columns, rows_R, need, usual)[:, None]
    return grown_RD + OPENING_MILLI * left_RD


# Thousandths of a device that a choice may cost to spare a node that is empty. Chosen by hand
# on two orders of the shared mix gpushare80 of openb, where 60 gave 89.69 % and 200 gave
# 89.66 % of GPUs held.
OPENING_MILLI = 60.0
_NODE_TIE, _DEVICE_TIE = 1e-3, 1e-7


def _left(columns: Columns, rows_R: Ints) -> Floats:
    """How empty nodes are, as shares of the fleet's largest, `[R, D]`."""
    milli_R = columns.milli_ND[rows_R].sum(axis=1) / (columns.largest * WHOLE_MILLI)
    cpus_R = columns.cpus_N[rows_R] / columns.most_cpus
    left_R = 0.5 * (milli_R + cpus_R)
    return np.repeat(left_R[:, None], columns.largest, axis=1)


@dataclass(slots=True)
class _Weighed:
    """All choices for one need, as of `seen` changes."""

    weight_N: Floats
    device_N: Ints
    seen: int


class Chooser:
    """The best node for a need, from weights that are kept until a row changes."""

    def __init__(self, columns: Columns, weigh: Weigh, mix: Mix) -> None:
        self.columns = columns
        self._weigh = weigh
        self._mix = mix
        self._version = -1
        self._usual: Usual | None = None
        self._weighed: dict[Resources, _Weighed] = {}
        self._full: dict[Resources, int] = {}

    def full(self, need: Resources) -> bool:
        """Whether it is known that a need fits nowhere: nothing has come back since."""
        return self._full.get(need) == self.columns.returned

    def choose(self, need: Resources) -> Placement | None:
        """The choice of the least weight, ties to the fleet's first node; None if none fits."""
        found = self._current(need)
        row = int(found.weight_N.argmin())
        if found.weight_N[row] == np.inf:
            self._full[need] = self.columns.returned
            return None
        devices: tuple[int, ...] = (int(found.device_N[row]),)
        if need.device_milli == WHOLE_MILLI:
            idle = np.flatnonzero(self.columns.milli_ND[row] == WHOLE_MILLI)
            devices = tuple(int(device) for device in idle[: need.sizes[0]])
        share = NodeShare(node=self.columns.nodes[row], devices=devices)
        return Placement(shares=(share,))

    def _current(self, need: Resources) -> _Weighed:
        if self._version != self._mix.version:
            self._version = self._mix.version
            self._usual = self._mix.usual(self.columns)
            self._weighed.clear()
        changed = self.columns.changed
        known = self._weighed.get(need)
        if known is None:
            rows_R = np.arange(len(self.columns.nodes))
            known = _Weighed(*self._rows(rows_R, need), len(changed))
            self._weighed[need] = known
        elif known.seen < len(changed):
            rows_R = np.array(sorted(set(changed[known.seen :])))
            known.weight_N[rows_R], known.device_N[rows_R] = self._rows(rows_R, need)
            known.seen = len(changed)
        return known

    def _rows(self, rows_R: Ints, need: Resources) -> tuple[Floats, Ints]:
        """The least weight of each row and its device; infinite where the need does not fit."""
        weight_R = np.full(len(rows_R), np.inf)
        device_R = np.zeros(len(rows_R), dtype=np.int64)
        fits_RD = self.columns.fits(rows_R, need)
        able_R = np.flatnonzero(fits_RD.any(axis=1))
        if len(able_R):
            weigh_RD = self._weigh(self.columns, rows_R[able_R], need, self._usual)
            weight_RD = np.where(fits_RD[able_R], weigh_RD, np.inf)
            device_R[able_R] = weight_RD.argmin(axis=1)
            weight_R[able_R] = weight_RD.min(axis=1)
        return weight_R, device_R


class Packing:
    """In the order of submission, each job where it weighs the least."""

    def __init__(self, name: str, weigh: Weigh, mix: Mix) -> None:
        self.name = name
        self.every_ns: int | None = None
        self._weigh = weigh
        self._mix = mix
        self._chooser: Chooser | None = None

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
        """It stops nobody."""

    def decide(self, cluster: Cluster) -> list[Action]:
        """Starts, and reasons to wait that are new."""
        actions: list[Action] = []
        told: set[JobId] = set()
        with cluster.rooms.trial() as trial:
            newest: Start | None = None
            walk = cluster.order.walk()
            for (_, job_id), need in walk:
                job = cluster.waiting(job_id)
                if job.not_before_ns > cluster.now_ns:
                    if job.wait_code is not WaitCode.BACKOFF:
                        actions.append(Wait(job=job_id, code=WaitCode.BACKOFF))
                        told.add(job_id)
                    continue
                if newest is not None:
                    # Only now, as most rounds start one job and try nothing out after it.
                    trial.take(newest.placement, cluster.waiting(newest.job).spec.resources)
                    newest = None
                placement = self._place(trial, need)
                if placement is None:
                    walk.leave_line()
                    continue
                newest = Start(job=job_id, placement=placement, reason=f"{self.name}: fits best")
                actions.append(newest)
                told.add(job_id)
        for job_id in cluster.fresh:
            if job_id not in told:
                need = cluster.waiting(job_id).spec.resources
                actions.append(Wait(job=job_id, code=_code(cluster.rooms, need)))
        return actions

    def _place(self, trial: Trial, need: Resources) -> Placement | None:
        columns = trial.rooms.columns()
        if self._chooser is None or self._chooser.columns is not columns:
            self._chooser = Chooser(columns, self._weigh, self._mix)
        if self._chooser.full(need):
            return None
        if need.sizes[0] > columns.largest:
            return trial.rooms.consolidated(need, need.sizes[0])
        return self._chooser.choose(need)


def _code(rooms: Rooms, need: Resources) -> WaitCode:
    fits = rooms.ever_fits(need, need.sizes[0])
    return WaitCode.NO_FREE_DEVICES if fits else WaitCode.NEVER_FITS
