"""Which job gets which size: the most value that a fleet's devices can bear.

One size per job, or none; the devices of each kind are a budget. Prices per device are moved until
what jobs would buy nearly fits (the Lagrangian dual: Everett, "Generalized Lagrange multiplier
method", Operations Research 11(3), 1963). What fits of that is improved by single changes. On small
fleets the answer is then made exact: sizes that the bound rules out are dropped, and a dynamic
programme over used devices tries all that are left. Equal input gives equal output; work is bounded
by counts, not by time.
"""

from math import prod

import numpy as np

from irongrid.scheduler.sizes import Sizes

PRICE_ROUNDS = 60
CUT_EVERY = 20
IMPROVEMENTS = 200
# Cells of the table of the exact programme: 6 x 4, 3 x 8 and 2 x 8 devices have 10,625.
MOST_CELLS = 20_000
_HAIR = 1e-9


def assign(value_JC: np.ndarray, sizes: Sizes, start_J: np.ndarray) -> np.ndarray:
    """A column per job, or -1 for none; no kind of device is used beyond its capacity.

    Args:
        value_JC: what a job is worth on a size; a size that is worth 0 or less is never taken.
        start_J: an answer to begin with, such as what jobs hold now.
    """
    if not len(value_JC):
        return np.zeros(0, dtype=int)
    problem = _Problem(value_JC, sizes)
    column_J, price_K, bound = problem.priced(np.where(start_J < 0, problem.none, start_J))
    gap = bound - problem.value(column_J)
    if gap > _HAIR and prod(count + 1 for count in sizes.capacity) <= MOST_CELLS:
        column_J = problem.exact(price_K, gap)
    return np.where(column_J == problem.none, -1, column_J)


class _Problem:
    """Values with one more column, which stands for no devices at all."""

    def __init__(self, value_JC: np.ndarray, sizes: Sizes) -> None:
        jobs = len(value_JC)
        self.none = value_JC.shape[1]
        self.value_JC = np.hstack([np.where(value_JC > 0, value_JC, -np.inf), np.zeros((jobs, 1))])
        self.kind_C = np.append(sizes.kind_C, 0)
        self.devices_C = np.append(sizes.devices_C, 0)
        self.need_CK = np.zeros((self.none + 1, len(sizes.kinds)), dtype=int)
        self.need_CK[np.arange(self.none), sizes.kind_C] = sizes.devices_C
        self.capacity_K = np.array(sizes.capacity)
        self.rows = np.arange(jobs)

    def value(self, column_J: np.ndarray) -> float:
        return float(self.value_JC[self.rows, column_J].sum())

    def used(self, column_J: np.ndarray) -> np.ndarray:
        found: np.ndarray = self.need_CK[column_J].sum(axis=0)
        return found

    def priced(self, start_J: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """The best answer found that fits, the best prices, and the bound that they give.

        Steps are those of Polyak (1969): as long as the distance between bound and answer.
        """
        price_K = np.zeros(len(self.capacity_K))
        best_J = np.full(len(self.rows), self.none)
        worth_J = self.value_JC[self.rows, start_J]
        start_J = np.where(np.isfinite(worth_J), start_J, self.none)
        if (self.used(start_J) <= self.capacity_K).all():
            best_J = self.improved(start_J.copy())
        value = self.value(best_J)
        found: list[tuple[float, np.ndarray]] = []
        for at in range(PRICE_ROUNDS):
            net_JC = self.value_JC - self.need_CK @ price_K
            column_J = np.argmax(net_JC, axis=1)
            over_K = self.used(column_J) - self.capacity_K
            bound = float(net_JC[self.rows, column_J].sum() + self.capacity_K @ price_K)
            found.append((bound, price_K))
            if at % CUT_EVERY == CUT_EVERY - 1 or (over_K <= 0).all():
                fitting_J = self.improved(self._cut(column_J))
                if self.value(fitting_J) > value:
                    best_J, value = fitting_J, self.value(fitting_J)
            if bound - value <= _HAIR or not over_K.any():
                break
            length = (bound - value) / float(over_K @ over_K)
            price_K = np.maximum(price_K + length * over_K, 0.0)
        bound, price_K = min(found, key=lambda each: each[0])
        return best_J, price_K, bound

    def _cut(self, column_J: np.ndarray) -> np.ndarray:
        """Take devices back from whom it costs least per device, until all fits."""
        column_J = column_J.copy()
        over_K = self.used(column_J) - self.capacity_K
        for kind in np.flatnonzero(over_K > 0):
            of_kind = np.append(np.flatnonzero(self.kind_C[:-1] == kind), self.none)
            while over_K[kind] > 0:
                holders = np.flatnonzero(self.need_CK[column_J, kind] > 0)
                held = self.need_CK[column_J[holders], kind]
                cut_HC = held[:, None] - self.devices_C[of_kind]
                value_HC = self.value_JC[holders][:, of_kind]
                loss_HC = self.value_JC[holders, column_J[holders]][:, None] - value_HC
                per_HC = loss_HC / np.clip(cut_HC, 1, over_K[kind])
                per_HC = np.where(cut_HC > 0, per_HC, np.inf)
                row, column = np.unravel_index(np.argmin(per_HC), per_HC.shape)
                over_K[kind] -= cut_HC[row, column]
                column_J[holders[row]] = of_kind[column]
        return column_J

    def improved(self, column_J: np.ndarray) -> np.ndarray:
        """Take the best single change until none helps, or the count has run out."""
        for _ in range(IMPROVEMENTS):
            free_K = self.capacity_K - self.used(column_J)
            room_JK = free_K + self.need_CK[column_J]
            fits_JC = self.devices_C <= room_JK[:, self.kind_C]
            gain_JC = self.value_JC - self.value_JC[self.rows, column_J][:, None]
            gain_JC = np.where(fits_JC, gain_JC, -np.inf)
            row, column = np.unravel_index(np.argmax(gain_JC), gain_JC.shape)
            if gain_JC[row, column] <= _HAIR:
                break
            column_J[row] = column
        return column_J

    def exact(self, price_K: np.ndarray, gap: float) -> np.ndarray:
        """The best of all answers.

        A size whose net value lies more than `gap` below the best one of its job is in no answer
        that is better than the one at hand.
        """
        net_JC = self.value_JC - self.need_CK @ price_K
        keep_JC = net_JC >= net_JC.max(axis=1, keepdims=True) - gap - _HAIR
        best = np.zeros(tuple(self.capacity_K + 1))
        steps: list[tuple[np.ndarray, np.ndarray]] = []
        for row in self.rows:
            options = np.flatnonzero(keep_JC[row])
            best, choice = self._with(best, int(row), options)
            steps.append((options, choice))
        column_J = np.full(len(self.rows), self.none)
        room = list(self.capacity_K)
        for row in reversed(self.rows):
            options, choice = steps[row]
            column = column_J[row] = options[choice[tuple(room)]]
            room[self.kind_C[column]] -= self.devices_C[column]
        return column_J

    def _with(
        self, best: np.ndarray, row: int, options: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The table with one more job: the most value within each room, and by which option."""
        after = np.full(best.shape, -np.inf)
        choice = np.zeros(best.shape, dtype=np.int16)
        for at, column in enumerate(options):
            taken, left = [slice(None)] * best.ndim, [slice(None)] * best.ndim
            devices, kind = int(self.devices_C[column]), int(self.kind_C[column])
            taken[kind], left[kind] = slice(devices, None), slice(0, best.shape[kind] - devices)
            value = best[tuple(left)] + self.value_JC[row, column]
            better = value > after[tuple(taken)]
            np.copyto(after[tuple(taken)], value, where=better)
            np.copyto(choice[tuple(taken)], at, where=better)
        return after, choice
