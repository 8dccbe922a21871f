"""Text for people to numbers with units, and back."""

import pytest

from irongrid.units import format_bytes, format_duration, parse_bytes, parse_duration_s


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("4GiB", 4 * 2**30), ("500 MB", 5 * 10**8), ("1024", 1024), ("1.5kib", 1536)],
)
def test_sizes(text: str, size_bytes: int) -> None:
    assert parse_bytes(text) == size_bytes


@pytest.mark.parametrize("text", ["", "GiB", "4 GiBs", "-1", "1e9", "4GiB\n5", "9" * 100])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "duration_s"),
    [("90", 90), ("90s", 90), ("12h", 43200), ("1h30m", 5400), ("1.5d", 129600), ("5 min", 300)],
)
def test_durations(text: str, duration_s: float) -> None:
    assert parse_duration_s(text) == duration_s


@pytest.mark.parametrize("text", ["", "h", "12 parsecs", "-5s", "1h30", "1e3"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration_s(text)


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [(0.254, "0.25 s"), (12.3, "12.3 s"), (65, "1m 05s"), (12000, "3h 20m"), (187200, "2d 4h")],
)
def test_durations_for_people(duration_s: float, text: str) -> None:
    assert format_duration(duration_s) == text


def test_sizes_for_people() -> None:
    assert [format_bytes(n) for n in (12, 2**20, 3.5 * 2**30)] == ["12 B", "1.0 MiB", "3.5 GiB"]
