"""Framing between rank and worker: one JSON object per line over a Unix stream socket, bounded."""

import json
from collections.abc import Mapping
from typing import Any

MAX_LINE_BYTES = 64 * 2**10

# How a rank of the recipe ends when a collective failed because another rank had gone.
LOST_PEER_EXIT = 76

# What a rank can be doing; each phase has its own bound on silence.
PHASES = ("import", "build", "compile", "first_step", "step", "eval", "save", "load")


def encode(message: Mapping[str, Any]) -> bytes:
    """One message as a line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


class Lines:
    """Cuts a stream into messages. What is too long or no JSON object is dropped."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The messages that `data` completes."""
        *complete, rest = data.split(b"\n")
        messages = []
        for part in complete:
            self._rest += part
            message = None if self._skipping else _decode(self._rest)
            if message is not None:
                messages.append(message)
            self._rest.clear()
            self._skipping = False
        self._rest += rest
        if len(self._rest) > MAX_LINE_BYTES:
            self._skipping = True
            self._rest.clear()
        return messages


def _decode(line: bytearray) -> dict[str, Any] | None:
    if len(line) > MAX_LINE_BYTES:
        return None
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None
