"""What the formulas leave unexplained, learnt from measured rows that resemble the case."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False, kw_only=True)
class Residual:
    """A correction of log step time near measured rows; nothing far from them."""

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Residual":
        """The residual from its JSON form."""
        return cls()

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {}


NOTHING_LEARNT = Residual()
