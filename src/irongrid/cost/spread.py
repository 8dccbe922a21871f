"""How far a step may be from its prediction."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Standard deviations of log step time.

    Attributes:
        known: for a case like the fitted rows.
        novel: for a case unlike any of them.
    """

    known: float = 0.05
    novel: float = 0.2

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Spread":
        """The spread from its JSON form."""
        return cls(**document)

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {"known": self.known, "novel": self.novel}


UNCALIBRATED = Spread()
