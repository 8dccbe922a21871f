"""Knobs of a plan: what trades memory for time without touching degrees and schedule."""

from collections.abc import Sequence

import numpy as np

from irongrid.domain.model import ModelShape
from irongrid.domain.plan import ZERO
from irongrid.domain.runtime import Ability
from irongrid.planner.space import NONE, SHARES, ULYSSES, Space
from irongrid.planner.table import Array, Columns, Mask, Table, column, cross, options, rows, take

AXES = ("zero", "context", "recompute", "offload", "sequence_parallel", "compression")
# What shards gradients or weights, and so has to run once per micro-batch or not with a pipeline.
_DEEP = column(ZERO.index("2"), ZERO.index("3"), ZERO.index("fsdp"))


class Knobs:
    """The choices of one space, and which of them a family may take."""

    def __init__(self, space: Space, ability: Ability, model: ModelShape) -> None:
        self._ability = ability
        self._layers = model.layers
        self._heads = model.heads
        # What a knob says where it has nothing to do: what is fixed, or else its usual word.
        usual = "none" if "none" in ability.zero else min(ability.zero, key=ZERO.index)
        self._zero_alone = _alone(space, "zero", ZERO.index(usual))
        self._context_alone = _alone(space, "context", NONE)
        self._choices: dict[str, Table] = {
            "zero": options("zero", tuple({*space.codes("zero"), self._zero_alone})),
            "context": options("context", tuple({self._context_alone, *space.codes("context")})),
            "recompute": _pairs(
                "recompute",
                space.codes("recompute"),
                "recompute_share",
                space.recompute_share,
                SHARES,
            ),
            "offload": _pairs(
                "offload",
                space.codes("offload"),
                "offload_tier",
                space.codes("offload_tier"),
                _alone(space, "offload_tier", 0),
            ),
            "sequence_parallel": options("sequence_parallel", space.codes("sequence_parallel")),
            "compression": options("compression", tuple({NONE, *space.codes("compression")})),
        }
        self._space = space

    def expanded(self, table: Table, axis: str) -> Table:
        """Every candidate with every value of one knob that it may take."""
        return cross(table, self._choices[axis], lambda made: self._allowed(made, axis))

    def samples(self, table: Table) -> Table:
        """A few complete candidates below each: every kind of recompute, else the first choices."""
        table = self.expanded(table, "recompute")
        if not rows(table):
            return table
        table = take(table, table["recompute_share"] == table["recompute_share"].max())
        for axis in ("offload", "sequence_parallel", "compression"):
            if not rows(table):
                return table
            parents = table | {"parent": np.arange(rows(table), dtype=np.int64)}
            made = self.expanded(parents, axis)
            table = take(made, np.unique(made.pop("parent"), return_index=True)[1])
        return table

    def count(self, table: Table) -> Array:
        """Candidates of each family: the choices of each knob multiply."""
        total = np.ones(len(table["tp"]), dtype=np.int64)
        for axis in AXES:
            choices = self._choices[axis]
            size = len(next(iter(choices.values())))
            found = np.zeros_like(total)
            for row in range(size):
                one = {name: np.broadcast_to(c[row], total.shape) for name, c in choices.items()}
                found += self._allowed({**table, **one}, axis)
            total *= found
        return total

    def _allowed(self, made: Columns, axis: str) -> Mask:
        if axis == "zero":
            return self._zero(made)
        if axis == "context":
            return self._context(made)
        if axis == "recompute":
            # A share must be whole blocks on every stage, so it goes with equal stages only.
            whole = made["blocks"] * made["recompute_share"] % SHARES == 0
            equal = made["blocks"] * made["pp"] == self._layers
            fits: Mask = (made["recompute_share"] == SHARES) | (whole & equal)
            return fits
        if axis == "sequence_parallel":
            first = made["sequence_parallel"] == self._space.codes("sequence_parallel")[0]
            return np.asarray((made["tp"] > 1) | first)
        if axis == "compression":
            named = np.isin(made["compression"], self._space.codes("compression"))
            return np.asarray(np.where(made["dp"] == 1, made["compression"] == NONE, named))
        return np.ones(len(made["tp"]), dtype=np.bool_)

    def _zero(self, made: Columns) -> Mask:
        zero, sharded = made["zero"], made["dp_shard"] > 1
        deep = np.isin(zero, _DEEP) & (made["pp"] > 1)
        fits = np.isin(zero, self._space.codes("zero")) & (zero != NONE)
        if not self._ability.composed:
            fits &= ~deep
        alone = zero == self._zero_alone
        if not self._ability.composed:
            alone &= ~deep
        return np.asarray(np.where(sharded, fits, alone))

    def _context(self, made: Columns) -> Mask:
        context = made["context"]
        named = np.isin(context, self._space.codes("context"))
        # Ulysses gives each rank whole heads, of those that tensor parallelism left it.
        whole = (context != ULYSSES) | (self._heads // made["tp"] % made["cp"] == 0)
        return np.asarray(np.where(made["cp"] == 1, context == self._context_alone, named & whole))


def _alone(space: Space, name: str, usual: int) -> int:
    codes = space.codes(name)
    return codes[0] if len(codes) == 1 else usual


def _pairs(
    name: str, codes: Sequence[int], second: str, values: Sequence[int], otherwise: int
) -> Table:
    """A knob with its detail; the knob's "none" has none."""
    pairs = [(code, value) for code in codes for value in (values if code else (otherwise,))]
    return {
        name: column(*(code for code, _ in pairs)),
        second: column(*(value for _, value in pairs)),
    }
