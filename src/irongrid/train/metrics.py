"""`metrics.jsonl`: one line per optimizer step, each step once whatever happened in between."""

import json
from collections.abc import Mapping
from pathlib import Path

NAME = "metrics.jsonl"


class MetricsFile:
    """Appends lines. Opening it for a resumed run first drops what will be done again."""

    def __init__(self, path: Path, resumed_step: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._out = path.open("a+b", buffering=0)
        self._out.truncate(_length_up_to(path, resumed_step))

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


def _length_up_to(path: Path, step: int) -> int:
    """Bytes of the leading lines whose steps are at most `step`; a torn line ends them."""
    length = 0
    with path.open("rb") as lines:
        for line in lines:
            try:
                beyond = not line.endswith(b"\n") or json.loads(line)["step"] > step
            except (ValueError, KeyError, TypeError):
                beyond = True
            if beyond:
                break
            length += len(line)
    return length
