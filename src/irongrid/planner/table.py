"""Tables of candidates: columns of equal length, one row per candidate, never an object per row."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.int64]
Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
Table = dict[str, Array]


def rows(table: Table) -> int:
    """How many candidates the table holds."""
    return len(next(iter(table.values())))


def take(table: Table, which: Mask | NDArray[np.int64] | slice) -> Table:
    """The rows that a mask, indices or a slice name."""
    return {name: column[which] for name, column in table.items()}


def join(tables: list[Table]) -> Table:
    """Tables of the same columns, one below the other."""
    if len(tables) == 1:
        return tables[0]
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def cross(table: Table, new: Table, allowed: Callable[[Table], Mask] | None = None) -> Table:
    """Every row of `table` with every row of `new`, as far as `allowed` says so."""
    left, right = rows(table), rows(new)
    made = {name: np.repeat(column, right) for name, column in table.items()}
    made |= {name: np.tile(column, left) for name, column in new.items()}
    return take(made, allowed(made)) if allowed is not None else made


def column(*values: int) -> Array:
    """A column of these values."""
    return np.array(values, dtype=np.int64)


def options(name: str, values: tuple[int, ...]) -> Table:
    """A table of one column."""
    return {name: np.array(values, dtype=np.int64)}
