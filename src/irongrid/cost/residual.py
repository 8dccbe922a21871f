"""What the formulas leave unexplained, learnt from measured rows that resemble the case.

A Gaussian process on the logarithm of step time: near a measured row its mean follows what that
row showed, far from all of them it is zero. Likeness is measured over the case's sizes on a
logarithmic scale, and over its software and its device's generation.
Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, chapter 2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irongrid.cost.behaviours import BEHAVIOURS, FAMILIES, family_of
from irongrid.cost.columns import Column, Layout, Machine, Work
from irongrid.domain.fleet import GENERATIONS
from irongrid.domain.plan import PRECISIONS

Floats = NDArray[np.float64]
# Factor by which a size may differ before two cases are less alike (a distance of 1), as its log.
_LENGTHS = {
    "time": 1.75, "hidden": 0.5, "tp": 0.5, "micro_batch": 0.55, "pp": 0.65, "grad_accum": 1.05,
    "dp": 1.05, "seq": 0.65, "heads": 0.85, "pieces": 0.85, "cp": 0.55, "ep": 0.85,
    "experts": 1.05, "recompute": 0.4, "local": 0.25,
}  # fmt: skip
# Distance between two cases that differ in a word only.
_WORDS = {"behaviour": 0.9, "family": 1.5, "generation": 1.8, "precision": 0.8}
_ROWS = 4096


@dataclass(frozen=True, eq=False, kw_only=True)
class Residual:
    """A correction of log step time near measured rows; nothing far from them.

    Attributes:
        points: features of the measured rows, one row each.
        pull: what each of them adds at its own place, in log units.
    """

    points: Floats
    pull: Floats

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Residual":
        """The residual from its JSON form; an empty one has learnt nothing."""
        points = np.array(document.get("points", []), dtype=float)
        pull = np.array(document.get("pull", []), dtype=float)
        if not pull.size:
            return NOTHING_LEARNT
        return cls(points=points.reshape(len(pull), -1), pull=pull)

    def to_json(self) -> dict[str, Any]:
        """The JSON form, to three decimals: a thousandth of a length changes nothing."""
        return {
            "points": np.round(self.points, 3).tolist(),
            "pull": np.round(self.pull, 5).tolist(),
        }

    def at(self, features: Floats) -> tuple[Floats, Floats]:
        """The correction of each case, and its novelty: 0 at a measured row, 1 far from all.

        Every point counts for every case, so a case's answer does not depend on its company.
        """
        if not self.pull.size:
            return np.zeros(len(features)), np.ones(len(features))
        shift, novelty = np.zeros(len(features)), np.ones(len(features))
        for start in range(0, len(features), _ROWS):
            part = slice(start, start + _ROWS)
            alike = likeness(features[part], self.points)
            shift[part] = alike @ self.pull
            novelty[part] = 1.0 - alike.max(axis=1)
        return shift, novelty


NOTHING_LEARNT = Residual(points=np.zeros((0, 0)), pull=np.zeros(0))


def likeness(one: Floats, other: Floats) -> Floats:
    """Likeness of each case of one set to each of the other, 1 for equal ones."""
    squares = np.sum(one**2, axis=1)[:, None] + np.sum(other**2, axis=1)[None, :]
    return np.asarray(np.exp(-0.5 * np.maximum(squares - 2.0 * one @ other.T, 0.0)))


def features_of(work: Work, machine: Machine, layout: Layout, step_time_s: Floats) -> Floats:
    """What likeness is measured on, scaled so that a distance of 1 is a length.

    Args:
        step_time_s: as the formulas have it.
    """
    size = len(step_time_s)
    sizes: dict[str, Column] = {
        "time": step_time_s / np.maximum(layout.grad_accum, 1),
        "hidden": work.hidden,
        "tp": layout.tp,
        "micro_batch": layout.micro_batch,
        "pp": layout.pp,
        "grad_accum": layout.grad_accum,
        "dp": np.asarray(layout.dp_shard) * layout.dp_replicate,
        "seq": work.seq_len,
        "heads": np.asarray(work.heads) / layout.tp,
        "pieces": layout.virtual_stages,
        "cp": layout.cp,
        "ep": layout.ep,
        "experts": np.maximum(work.experts, 1),
        "local": 1.0 + np.asarray(work.windowed_layers) / np.maximum(work.layers, 1),
        "recompute": 1.0 + (np.asarray(layout.recompute) == 2) * layout.recompute_share,
    }
    columns = [
        np.broadcast_to(
            np.log(np.maximum(np.asarray(value, float), 1e-6)) / _LENGTHS[name], (size,)
        )
        for name, value in sizes.items()
    ]
    words: dict[str, tuple[int, Column]] = {
        "behaviour": (len(BEHAVIOURS), work.runtime),
        "family": (len(FAMILIES) + 1, family_of(work.runtime)),
        "generation": (len(GENERATIONS), machine.generation),
        "precision": (3, _width(work)),
    }
    for name, (count, codes) in words.items():
        marks = np.eye(count) * (_WORDS[name] / np.sqrt(2))
        columns.extend(np.broadcast_to(marks[np.asarray(codes, int)], (size, count)).T)
    return np.column_stack(columns)


def _width(work: Work) -> NDArray[np.int64]:
    """Whether products are in 16, 8 or 4 bits; fp32 counts as 16."""
    code = np.asarray(work.precision, int)
    eight = np.isin(code, [PRECISIONS.index("fp8"), PRECISIONS.index("mxfp8")])
    return np.asarray(eight + 2 * (code == PRECISIONS.index("nvfp4")), np.int64)
