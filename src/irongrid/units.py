"""Conversions between what people write and what the code computes with.

People write `4GiB` and `12h`; the code has `memory_bytes` and `duration_s`. Only text passes here.
"""

import re

NS_PER_S = 1_000_000_000

# No size or duration is longer; what is, is not worth a regular expression's time.
_LONGEST = 40

_BYTES = {
    "": 1, "b": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
_SECONDS = {"": 1.0, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_RATES = {
    "B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
    "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30, "TiB": 2.0**40,
    "bit": 1 / 8, "Kbit": 1e3 / 8, "Mbit": 1e6 / 8, "Gbit": 1e9 / 8, "Tbit": 1e12 / 8,
}  # fmt: skip
_RATE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)/s\s*")
_LATENCIES = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?\s*(?:ms|s|min|m|h|d)\s*)+")


def parse_bytes(text: str) -> int:
    """Bytes from text such as `4GiB`, `500 MB` or `1024`.

    Raises:
        ValueError: the text is no quantity, or its unit is unknown.
    """
    match = _QUANTITY.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None or match[2].lower() not in _BYTES:
        raise ValueError(f"{text[:_LONGEST]!r} is not a size such as 4GiB, 500MB or 1024")
    return round(float(match[1]) * _BYTES[match[2].lower()])


def parse_rate(text: str) -> float:
    """Bytes per second from text such as `50GB/s` or `400 Gbit/s`.

    Strict about letters: `Gb/s` means bits to one reader and bytes to the next.

    Raises:
        ValueError: the text is no rate, or its unit is unknown.
    """
    match = _RATE.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None or match[2] not in _RATES:
        raise ValueError(f"{text[:_LONGEST]!r} is not a rate such as 50GB/s or 400Gbit/s")
    return float(match[1]) * _RATES[match[2]]


def parse_latency_s(text: str) -> float:
    """Seconds from text such as `500ns`, `5us` or `40ms`.

    Raises:
        ValueError: the text is no latency, or its unit is unknown.
    """
    match = _QUANTITY.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None or match[2] not in _LATENCIES:
        raise ValueError(f"{text[:_LONGEST]!r} is not a latency such as 5us or 40ms")
    return float(match[1]) * _LATENCIES[match[2]]


def parse_duration_s(text: str) -> float:
    """Seconds from text such as `90`, `90s`, `12h` or `1h30m`.

    Raises:
        ValueError: the text is no duration, or its unit is unknown.
    """
    shown, text = text[:_LONGEST], text.strip() if len(text) <= _LONGEST else ""
    bare = _QUANTITY.fullmatch(text)
    if bare is not None and bare[2] in _SECONDS:
        return float(bare[1]) * _SECONDS[bare[2]]
    if _DURATION.fullmatch(text) is None:
        raise ValueError(f"{shown!r} is not a duration such as 90s, 12h or 1h30m")
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|min|m|h|d)", text)
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def format_bytes(size_bytes: float) -> str:
    """Text for people: `3.5 GiB`."""
    for unit, factor in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes:.0f} B"


def format_duration(duration_s: float) -> str:
    """Text for people: `0.25 s`, `1m 05s`, `3h 20m`, `2d 4h`."""
    if duration_s < 10:
        return f"{duration_s:.2f} s"
    if duration_s < 60:
        return f"{duration_s:.1f} s"
    minutes, seconds = divmod(round(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {seconds:02d}s"
