"""Goodput of all jobs together, blind to what is left of them: the baseline for elastic jobs.

Source: Jayaram Subramanya et al., "Sia: heterogeneity-aware, goodput-optimized ML-cluster
scheduling", SOSP 2023, with the parameters of its artifact. It differs in that the integer
programme is solved exactly by `assign`, and in that goodput comes from our forecasts, which do not
know how fast one device of an unseen type is.
"""

import numpy as np

from irongrid.domain.decision import Action
from irongrid.scheduler.cluster import Cluster
from irongrid.scheduler.elastic import NONE, ElasticPolicy, Table
from irongrid.scheduler.outlook import Forecaster
from irongrid.scheduler.sizes import Sizes
from irongrid.units import NS_PER_S

ROUND_S = 60
POWER = -0.5
# What a job without devices costs; one on its smallest size costs 1.
UNALLOCATED = 1.1


class Sia(ElasticPolicy):
    """Rounds of a minute; a size's value is its goodput over that of the job's smallest size."""

    name = "sia"
    # One device at first, and then at most twice what the job has run on.
    first_ranks = 1
    growth = 2

    def __init__(self, forecaster: Forecaster, sizes: Sizes) -> None:
        super().__init__(forecaster, sizes, ROUND_S)
        in_node = np.isin(sizes.devices_C, (1, 2, 4, 8))
        whole = sizes.devices_C % np.array(sizes.per_node)[sizes.kind_C] == 0
        self._known_C = (in_node & (sizes.nodes_C == 1)) | whole

    def decide(self, cluster: Cluster) -> list[Action]:
        """The actions of a round, at full minutes only."""
        if cluster.now_ns % (ROUND_S * NS_PER_S):
            return []
        return super().decide(cluster)

    def value(self, table: Table) -> np.ndarray:
        """What is saved over leaving the job without devices."""
        rows = np.arange(len(table.jobs))
        held = table.current_J != NONE
        speed_JC = np.where(self._known_C, 1 / table.left_JC, 0.0)
        least_J = np.where(speed_JC > 0, speed_JC, np.inf).min(axis=1)
        gain_JC = speed_JC / least_J[:, None]
        restarts_J = np.maximum(table.launches_J - 1, 0)
        age_J = np.maximum(table.age_J, 1.0)
        stay_J = np.maximum(age_J - restarts_J * table.restart_J, 0.0) / (age_J + table.restart_J)
        factor_JC = np.repeat(stay_J[:, None], len(self.sizes), axis=1)
        factor_JC[rows[held], table.current_J[held]] = 1.0
        with np.errstate(divide="ignore"):
            value_JC: np.ndarray = UNALLOCATED - (gain_JC * factor_JC) ** POWER
        # Nobody is moved during a restart.
        pending = held & (table.pending_J > 0)
        value_JC[pending] = -1.0
        value_JC[rows[pending], table.current_J[pending]] = 1e3
        return value_JC
