"""What one field of a trace says: moments, lengths of time, and numbers of devices."""

import re
from datetime import UTC, datetime

# Later than any clock in seconds that a trace can hold: what is above was written in milliseconds.
_MILLISECONDS_FROM = 1e11
_LENGTH = re.compile(r"(?:(\d+)-)?(?:(\d{1,6}):)?(\d{1,4}):(\d{1,2}(?:\.\d+)?)")
_TRES_GPU = re.compile(r"(?:gres/)?gpu(?::([^=,]+))?=(\d+)")
NOTHING = frozenset({"", "none", "unknown", "n/a", "na", "null", "nan", "-"})


class Unreadable(ValueError):
    """A field holds something else than its column may."""


def moment_s(text: str) -> float | None:
    """A moment in seconds, by whatever clock; None where the file says that there was none.

    Raises:
        Unreadable: the text is no moment.
    """
    text = text.strip()
    if text.lower() in NOTHING:
        return None
    try:
        value = float(text)
    except ValueError:
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            raise Unreadable("is no time such as 2026-03-01T08:00:00Z, and no number") from None
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    if not abs(value) < 1e16:
        raise Unreadable("is no moment")
    return value / 1e3 if value > _MILLISECONDS_FROM else value


def length_s(text: str) -> float | None:
    """A length of time in seconds from a number, `HH:MM:SS` or `D-HH:MM:SS`; None for nothing.

    Raises:
        Unreadable: the text is no length of time.
    """
    text = text.strip()
    if text.lower() in NOTHING:
        return None
    try:
        value = float(text)
    except ValueError:
        found = _LENGTH.fullmatch(text)
        if found is None:
            raise Unreadable("is no number of seconds, and no HH:MM:SS") from None
        days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
        return days * 86400 + hours * 3600 + minutes * 60 + seconds
    if not abs(value) < 1e10:
        raise Unreadable("is no length of time")
    return value


def devices(text: str) -> tuple[int, str]:
    """How many devices, and their type where the text says it; from a number or Slurm's TRES.

    Raises:
        Unreadable: the text is no whole number, and no list of TRES.
    """
    text = text.strip()
    if text.lower() in NOTHING:
        return 0, ""
    try:
        value = float(text)
    except ValueError:
        if "=" not in text:
            raise Unreadable("is no number of devices") from None
        return _tres(text)
    if not abs(value) < 1e7:
        raise Unreadable("is no number of devices")
    if value != int(value):
        raise Unreadable("is a fraction of a device, which is not supported yet")
    return int(value), ""


def _tres(text: str) -> tuple[int, str]:
    """`billing=8,gres/gpu=8,gres/gpu:h100=8`: the total, and the type if there is only one."""
    by_type = {kind: int(count) for kind, count in _TRES_GPU.findall(text)}
    kinds = [kind for kind in by_type if kind]
    total = by_type.get("") or sum(by_type.values())
    return total, kinds[0] if len(kinds) == 1 else ""
