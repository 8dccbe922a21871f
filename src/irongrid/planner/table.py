"""Tables of candidates: columns of equal length, one row per candidate, never an object per row."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.int64]
Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
Table = dict[str, Array]
# Columns that are read only.
Columns = Mapping[str, Array]


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


def cross(table: Table, new: Table, allowed: Callable[[Columns], Mask] | None = None) -> Table:
    """Every row of `table` with every row of `new`, as far as `allowed` says so."""
    left, right = rows(table), rows(new)
    which = np.arange(left * right)
    if allowed is not None:
        which = which[allowed(_Crossed(table, new))]
    one, other = which // right, which % right
    made = {name: column[one] for name, column in table.items()}
    return made | {name: column[other] for name, column in new.items()}


class _Crossed(Mapping[str, Array]):
    """All pairs of rows of two tables, of which only the columns that are read are made.

    Most pairs are thrown away at once, and what decides that is in a few of the columns.
    """

    def __init__(self, left: Table, right: Table) -> None:
        self._left, self._right = left, right
        self._made: Table = {}

    def __getitem__(self, name: str) -> Array:
        if name not in self._made:
            left, right = self._left, self._right
            self._made[name] = (
                np.tile(right[name], rows(left))
                if name in right
                else np.repeat(left[name], rows(right))
            )
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._left | self._right)

    def __len__(self) -> int:
        return len(self._left | self._right)


def column(*values: int) -> Array:
    """A column of these values."""
    return np.array(values, dtype=np.int64)


def options(name: str, values: tuple[int, ...]) -> Table:
    """A table of one column."""
    return {name: np.array(values, dtype=np.int64)}
