"""Columns of words: looking codes up in tables, and asking which rows have a word."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from irongrid.cost.columns import Column


def look_up(table: NDArray[np.float64], codes: Column) -> Column:
    """The table's entry for each code."""
    entries: Column = table[np.asarray(codes, dtype=np.int64)]
    return entries


def is_one_of(words: Sequence[str], chosen: Sequence[str], codes: Column) -> NDArray[np.float64]:
    """1 where the code is one of the chosen words, else 0."""
    marks = np.array([float(word in chosen) for word in words])
    return np.asarray(marks[np.asarray(codes, dtype=np.int64)])
