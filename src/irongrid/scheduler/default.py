"""The default policy: predicted remaining work weighs marginal goodput."""

from dataclasses import dataclass

import numpy as np

from irongrid.scheduler.elastic import ElasticPolicy, Table


@dataclass(frozen=True, slots=True)
class Weights:
    horizon_s: float = 450.0
    keep: float = 1.05
    rank: float = 0.5
    age: float = 0.5
    exponent: float = 1.0
    floor: float = 0.02
    stay: float = 0.0
    back: float = 1.0
    guard: float = 0.0
    guard_s: float = 300.0


class Default(ElasticPolicy):
    name = "default"
    weights = Weights()

    def value(self, table: Table) -> np.ndarray:
        w = self.weights
        left_JC = table.left_JC
        restart_J = table.restart_J
        current_J = table.current_J
        rows = np.arange(len(left_JC))
        best_J = left_JC.min(axis=1)
        least_J = 1 / table.sure_J
        charge_JC = np.maximum(least_J[:, None], left_JC / w.horizon_s)
        cost_JC = left_JC + restart_J[:, None] * charge_JC
        on = current_J >= 0
        now = left_JC[rows[on], current_J[on]]
        pend = table.pending_J[on] * np.maximum(1.0, now / w.horizon_s)
        cost_JC[rows[on], current_J[on]] = (
            now / (w.keep + w.back * restart_J[on] / w.horizon_s) + pend
        )
        order = np.argsort(np.argsort(-best_J, kind="stable"), kind="stable") + 1
        weight_J = order**w.rank * (1 + table.age_J / 3600) ** w.age
        rho_J = (table.age_J + w.guard_s) / (table.fair_done_J + w.guard_s)
        weight_J = weight_J * np.clip(rho_J, 0.5, 10.0) ** w.guard
        v = ((best_J + restart_J)[:, None] / cost_JC) ** w.exponent * weight_J[:, None]
        v = v - w.floor * self.sizes.devices_C
        fixed = on & (table.held_J < (1 + w.stay) * restart_J)
        v[fixed] = -1.0
        v[rows[fixed], current_J[fixed]] = 1e3
        return v
