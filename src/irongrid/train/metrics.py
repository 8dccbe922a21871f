"""`metrics.jsonl`: one line per optimizer step, each step once whatever happened in between."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

NAME = "metrics.jsonl"


class MetricsFile:
    """Appends lines. Opening it for a resumed run first drops what will be done again.

    Attributes:
        reached_step: the last step in it before that; 0 for none.
    """

    def __init__(self, path: Path, resumed_step: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        length, self.reached_step = _look_through(path, resumed_step)
        _take_over(path, length)
        self._out = path.open("a+b", buffering=0)
        self._out.truncate(length)

    def write(self, figures: Mapping[str, float | int]) -> None:
        """Add a step. On a full disk the line is lost, as telemetry may be; training goes on."""
        line = json.dumps(figures, separators=(",", ":")).encode() + b"\n"
        end = self._out.seek(0, 2)
        try:
            whole = self._out.write(line) == len(line)
        except OSError:
            whole = False
        if not whole:
            self._out.truncate(end)


def read_metrics(path: Path) -> list[dict[str, float]]:
    """All lines, in order of their steps."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _take_over(path: Path, length: int) -> None:
    """Put a copy of what stays in place of the file.

    A writer of an older epoch that wakes again has the old one open, which nobody reads any more.
    Where there is no room for a copy, the file itself has to do.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with path.open("rb") as old:
            aside.write_bytes(old.read(length))
        aside.rename(path)
    except OSError:
        aside.unlink(missing_ok=True)


def _look_through(path: Path, step: int) -> tuple[int, int]:
    """Bytes of the leading lines whose steps are at most `step`, and the last step of all.

    A torn line ends them.
    """
    length = reached = 0
    with path.open("rb") as lines:
        for line in lines:
            found = _step_of(line)
            if found is None:
                break
            reached = found
            length += len(line) if found <= step else 0
    return length, reached


def _step_of(line: bytes) -> int | None:
    """A line's step; None for a torn line."""
    try:
        return int(json.loads(line)["step"]) if line.endswith(b"\n") else None
    except (ValueError, KeyError, TypeError):
        return None
