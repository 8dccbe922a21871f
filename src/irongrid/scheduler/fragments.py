"""How much of a node's free devices the usual jobs can use: fragmentation-aware packing.

A free device that no usual job could take is a fragment: its node lacks CPUs, or too little of it
is left. FGD puts each job where the expected fragments grow the least.

Source: Weng, Yang, Yu, Wang, Tang, Yang, Zhang, "Beware of fragmentation: scheduling GPU-sharing
workloads with fragmentation gradient descent", USENIX ATC 2023, sections 4 and 5.
"""

from dataclasses import dataclass

import numpy as np

from irongrid.domain.job import WHOLE_MILLI, Resources
from irongrid.scheduler.columns import Bools, Columns, Floats, Ints

# The most frequent needs that together make up this share of all jobs count as usual (the paper's
# artifact: 95 %).
USUAL_SHARE = 0.95
# The mix is looked at again when so many times more jobs have come.
_LOOK_AGAIN_AT = 1.5
_FIRST_LOOK = 16


@dataclass(frozen=True, slots=True)
class Usual:
    """The usual needs, by T.

    Attributes:
        milli_T, ranks_T, cpus_T: of a rank, their number, and CPU cores of all of them.
        allowed_TK: whether the need may run on each device type of the fleet.
        share_T: of all jobs; sums to 1.
    """

    milli_T: Ints
    ranks_T: Ints
    cpus_T: Floats
    allowed_TK: Bools
    share_T: Floats


class Mix:
    """How often each need has been asked for so far. Nothing of what will come."""

    def __init__(self) -> None:
        self._count: dict[Resources, int] = {}
        self._seen = 0
        self._look_at = _FIRST_LOOK
        self._frozen: dict[Resources, int] = {}

    def learn(self, need: Resources) -> None:
        """A job was submitted."""
        self._count[need] = self._count.get(need, 0) + 1
        self._seen += 1
        if self._seen >= self._look_at:
            self._look_at = int(self._seen * _LOOK_AGAIN_AT) + 1
            self._frozen = dict(self._count)

    @property
    def version(self) -> int:
        """Changes whenever `usual` does."""
        return self._look_at

    def usual(self, columns: Columns) -> Usual | None:
        """The usual needs of devices; None before enough jobs have come.

        Needs of no device are left out: they can use no device on any node, so that they add the
        same to every choice.
        """
        counts = [(need, n) for need, n in self._frozen.items() if need.device_milli]
        if not counts:
            return None
        counts.sort(key=lambda item: -item[1])  # Stable: equal counts keep the order of arrival.
        share = np.array([n for _, n in counts], dtype=float)
        enough = int(np.searchsorted(share.cumsum(), USUAL_SHARE * share.sum())) + 1
        needs = [need for need, _ in counts[:enough]]
        share = share[:enough] / share[:enough].sum()
        return Usual(
            milli_T=np.array([need.device_milli for need in needs], dtype=np.int64),
            ranks_T=np.array([need.sizes[0] for need in needs], dtype=np.int64),
            cpus_T=np.array([need.sizes[0] * need.cpus for need in needs]),
            allowed_TK=np.array([columns.allowed(need) for need in needs], dtype=bool),
            share_T=share,
        )


def lost(columns: Columns, rows_R: Ints, need: Resources, usual: Usual) -> Floats:
    """Thousandths of devices that the usual job can use no more once `need` is there, `[R, D]`.

    D is as in `Columns.fits`. Less what the job itself takes, which is the same everywhere, this is
    the growth of the paper's F.
    """
    milli_RD = columns.milli_ND[rows_R]
    has_RDT = milli_RD[:, :, None] >= usual.milli_T
    use_RDT = np.where(has_RDT, milli_RD[:, :, None], 0)
    devices_RT, use_RT = has_RDT.sum(axis=1), use_RDT.sum(axis=1)
    allowed_RT = usual.allowed_TK.T[columns.kind_N[rows_R]]
    cpus_R = columns.cpus_N[rows_R]

    def usable(devices: Ints, use: Ints, cpus_R: Floats) -> Floats:
        shape = (-1, *(1,) * (devices.ndim - 2), devices.shape[-1])
        able_RT = allowed_RT & (cpus_R[:, None] + 1e-6 >= usual.cpus_T)
        able = (devices >= usual.ranks_T) & able_RT.reshape(shape)
        return np.asarray((able * use) @ usual.share_T)

    before_R = usable(devices_RT, use_RT, cpus_R)
    cpus_after_R = cpus_R - need.sizes[0] * need.cpus
    if 0 < need.device_milli < WHOLE_MILLI:
        left_RD1 = (milli_RD - need.device_milli)[:, :, None]
        has_after_RDT = left_RD1 >= usual.milli_T
        use_after_RDT = np.where(has_after_RDT, left_RD1, 0)
        devices_RDT = devices_RT[:, None, :] - has_RDT + has_after_RDT
        after_RD = usable(devices_RDT, use_RT[:, None, :] - use_RDT + use_after_RDT, cpus_after_R)
        return before_R[:, None] - after_RD
    taken = need.sizes[0] if need.device_milli else 0
    after_R = usable(devices_RT - taken, use_RT - taken * WHOLE_MILLI, cpus_after_R)
    return np.broadcast_to((before_R - after_R)[:, None], milli_RD.shape)


def stranded(columns: Columns, rows_R: Ints, need: Resources, usual: Usual) -> Floats:
    """Thousandths of devices that run out of CPUs, or of devices, once `need` is there, `[R]`.

    Seen as a fluid, a node can be used until its devices or its CPUs are at an end, whichever comes
    first. A job that brings CPUs where devices are short, or the other way round, costs nothing.
    """
    ranks = need.sizes[0]
    milli_R, cpus_R = columns.milli_ND[rows_R].sum(axis=1), columns.cpus_N[rows_R]
    cpus = float(usual.cpus_T @ usual.share_T)
    cpus_per_milli = cpus / float((usual.milli_T * usual.ranks_T) @ usual.share_T)

    def fluid(milli_R: Ints, cpus_R: Floats) -> Floats:
        if not cpus_per_milli:
            return milli_R.astype(float)
        return np.minimum(milli_R, cpus_R / cpus_per_milli)

    after_R = fluid(milli_R - ranks * need.device_milli, cpus_R - ranks * need.cpus)
    return fluid(milli_R, cpus_R) - after_R
