"""The lines of a rank as typed values, for the worker. What a rank sends is checked here."""

import math
from dataclasses import dataclass, replace
from typing import Any

from irongrid.domain.codec import from_json
from irongrid.session.protocol import PHASES

_MAX_METRICS = 64
_MAX_NAME_CHARS = 64
_MAX_TEXT_CHARS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The first line of each connection."""

    rank: int
    generation: int
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseLine:
    """The rank goes on to something else."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyLine:
    """The rank's model and state stand."""

    resumed_step: int = 0
    reached_step: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressLine:
    """An optimizer step is done. Metrics are finite numbers."""

    step: int
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointLine:
    """A checkpoint is complete on disk."""

    step: int
    path: str
    size_bytes: int
    written_bytes: int
    age_ns: int
    stall_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFailedLine:
    """A checkpoint could not be written or read."""

    step: int
    code: str
    message: str


Line = Hello | PhaseLine | ReadyLine | ProgressLine | CheckpointLine | CheckpointFailedLine

_BY_TAG: dict[str, type[Line]] = {
    "hello": Hello,
    "phase": PhaseLine,
    "ready": ReadyLine,
    "progress": ProgressLine,
    "checkpoint": CheckpointLine,
    "checkpoint_failed": CheckpointFailedLine,
}


def read_line(message: dict[str, Any]) -> Line:
    """The typed value behind a message.

    Raises:
        CodecError, ValueError: it is none that a rank may send.
    """
    tag = message.get("t")
    target = _BY_TAG.get(tag) if isinstance(tag, str) else None
    if target is None:
        raise ValueError("unknown kind of line")
    line: Line = from_json(target, {name: part for name, part in message.items() if name != "t"})
    if getattr(line, "step", 0) < 0:
        raise ValueError("negative step")
    match line:
        case PhaseLine() if line.name not in PHASES:
            raise ValueError("unknown phase")
        case ProgressLine():
            return replace(line, metrics=_finite(line.metrics))
        case CheckpointFailedLine():
            return replace(line, message=line.message[:_MAX_TEXT_CHARS], code=line.code[:32])
        case CheckpointLine() if len(line.path) > _MAX_TEXT_CHARS:
            raise ValueError("path too long")
    return line


def _finite(metrics: dict[str, float]) -> dict[str, float]:
    """A loss that is not a number has no form in JSON; its absence shows it."""
    named = (
        (name[:_MAX_NAME_CHARS], figure)
        for name, figure in metrics.items()
        if math.isfinite(figure)
    )
    return dict(list(named)[:_MAX_METRICS])
