"""How far a step may be from its prediction."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Standard deviations of log step time.

    Attributes:
        known: for a case like the fitted rows.
        novel: for a case unlike any of them.
    """

    known: float = 0.05
    novel: float = 0.2

    def sigma(self, novelty: NDArray[np.float64]) -> NDArray[np.float64]:
        """Standard deviation of each case, by its novelty from 0 to 1."""
        return np.sqrt(self.known**2 + (self.novel**2 - self.known**2) * np.square(novelty))

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Spread":
        """The spread from its JSON form."""
        return cls(**document)

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {"known": self.known, "novel": self.novel}


UNCALIBRATED = Spread()
