"""The default policy for elastic jobs: predicted remaining work weighs marginal goodput.

A job on a size is worth its speed there over its best speed, times its weight. Weights rise from
the longest to the shortest job by the root of the rank, which is close to the marginal value of
heSRPT for jobs that gain with the root of their devices (Berg et al., "heSRPT", SIGMETRICS 2020);
with age; and with how far a job has fallen behind an equal share of the fleet, so that nobody
starves.

A start, a move or a resize is charged its delay over the time for which it will probably last. A
job that runs has its way back in its favour, and one that is still starting is left alone, so there
is no churn. A device costs a little even when it is idle: it is not given away for next to nothing.
"""

from dataclasses import dataclass

import numpy as np

from irongrid.scheduler.elastic import NONE, ElasticPolicy, Table
from irongrid.scheduler.outlook import Forecaster
from irongrid.scheduler.sizes import Sizes

_PINNED = 1e3
_MOST_BEHIND = 10.0
_S_PER_H = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What matters how much; found on workloads apart from those that results are quoted on.

    Attributes:
        lasts_s: for how long a job keeps what it has once it was given it, unless it ends before.
        better: by how much another size must be better than the one that a job has, where all that
            is left is known; more where it is not.
        back: share of a restart that a job which must make way will pay once more later.
        rank: exponent of the rank, 0 (all equal) to 1.
        age: exponent of the age in hours, plus 1.
        behind: exponent of the age over the time that an equal share would have needed.
        behind_s: added to both, so that it means little for young jobs.
        idle: what a device must bring at least where nobody waits, as a share of what it brings
            where the job uses devices best.
    """

    lasts_s: float = 1000.0
    better: float = 0.1
    back: float = 1.0
    rank: float = 0.5
    age: float = 0.25
    behind: float = 0.5
    behind_s: float = 300.0
    idle: float = 0.07


class Default(ElasticPolicy):
    """Speed over best speed, times a weight; see above."""

    name = "default"

    def __init__(
        self,
        forecaster: Forecaster,
        sizes: Sizes,
        weights: Weights | None = None,
        every_s: float = 60.0,
    ) -> None:
        super().__init__(forecaster, sizes, every_s)
        self.weights = weights or Weights()

    def value(self, table: Table) -> np.ndarray:
        """What each size is worth to each job; 0 or less is never taken."""
        best_J1 = (table.left_JC.min(axis=1) + table.restart_J)[:, None]
        weight_J1 = self._weight_J(table)[:, None]
        value_JC: np.ndarray = weight_J1 * best_J1 / self._cost_JC(table)
        value_JC -= self._price_J1(table) * self.sizes.devices_C
        starting = (table.current_J != NONE) & (table.held_J < table.restart_J)
        value_JC[starting] = 0.0
        value_JC[starting, table.current_J[starting]] = _PINNED
        return value_JC

    def _price_J1(self, table: Table) -> np.ndarray:
        """What a device must bring: a share of what one brings where a job uses them best."""
        best_J1 = table.left_JC.min(axis=1, keepdims=True)
        each_J1 = (best_J1 / table.left_JC / self.sizes.devices_C).max(axis=1, keepdims=True)
        found: np.ndarray = self.weights.idle * each_J1
        return found

    def _cost_JC(self, table: Table) -> np.ndarray:
        """Seconds to the end, with restarts charged over the time for which a size lasts."""
        lasts_s, left_JC = self.weights.lasts_s, table.left_JC
        # A job that may end sooner than is thought has less time to make up for a restart.
        charge_JC = np.maximum(1 / table.sure_J[:, None], left_JC / lasts_s)
        cost_JC: np.ndarray = left_JC + table.restart_J[:, None] * charge_JC
        held = table.current_J != NONE
        now = left_JC[held, table.current_J[held]]
        pending = table.pending_J[held] * np.maximum(1.0, now / lasts_s)
        better = self.weights.better / table.sure_J[held]
        keep = 1 + better + self.weights.back * table.restart_J[held] / lasts_s
        cost_JC[held, table.current_J[held]] = now / keep + pending
        return cost_JC

    def _weight_J(self, table: Table) -> np.ndarray:
        weights = self.weights
        longest_first = np.argsort(-table.left_JC.min(axis=1), kind="stable")
        rank_J = np.argsort(longest_first, kind="stable") + 1.0
        age_J = 1 + table.age_J / _S_PER_H
        behind_J = (table.age_J + weights.behind_s) / (table.fair_done_J + weights.behind_s)
        behind_J = np.clip(behind_J, 1 / 2, _MOST_BEHIND)
        found: np.ndarray = rank_J**weights.rank * age_J**weights.age * behind_J**weights.behind
        return found
