"""Predictions of rows that the coefficients have not seen."""

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from validation.learn import Learnt, Prediction, learn, predict, usable
from validation.rows import Row

GROUPINGS: dict[str, Callable[[Row], tuple[str, ...]]] = {
    "model": lambda row: (row.source, row.model),
    "source": lambda row: (row.source,),
}


def calibration_rows(rows: Sequence[Row], count: int) -> list[Row]:
    """The first `count` rows by row_id of each source and device that have a step time."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.row_id):
        groups[row.source, row.gpu].append(row)
    return [row for group in groups.values() for row in group[:count]]


def left_out(
    rows: Sequence[Row], known: Sequence[Row], start: Learnt, by: str, calibrate: int = 0
) -> Prediction:
    """Each row by coefficients that saw no row of its group.

    Args:
        rows: to predict.
        known: rows to learn from; those of a group are left out for its prediction.
        by: a word of `GROUPINGS`.
        calibrate: rows of each source and device that may be learnt from all the same.
    """
    group_of = GROUPINGS[by]
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        groups[group_of(row)].append(index)
    shown = calibration_rows(rows, calibrate) if calibrate else []
    p50 = np.zeros(len(rows))
    p90, novelty = p50.copy(), p50.copy()
    for group, members in groups.items():
        seen = [row for row in known if group_of(row) != group]
        allowed = [row for row in shown if group_of(row) == group]
        ids = {row.row_id for row in seen}
        extra = [row for row in usable(allowed) if row.row_id not in ids]
        learnt = learn([*seen, *extra], start, rounds=8, spread=start.coefficients.spread)
        part = predict([rows[i] for i in members], learnt.coefficients)
        p50[members], p90[members] = part.step_time_s, part.step_time_s_p90
        novelty[members] = part.novelty
    return Prediction(p50, p90, novelty)
