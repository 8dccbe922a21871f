"""Fields of a row: numbers, or nothing; and a note of what had to be assumed."""

from collections.abc import Mapping

import numpy as np


def number(fields: Mapping[str, str], name: str) -> float | None:
    try:
        value = float(fields.get(name) or "")
    except ValueError:
        return None
    return value if np.isfinite(value) and value >= 0 else None


def positive(fields: Mapping[str, str], name: str) -> float | None:
    value = number(fields, name)
    return value if value else None


def assume(assumed: list[str], name: str, value: float) -> float:
    assumed.append(f"{name}={value:g}")
    return value
