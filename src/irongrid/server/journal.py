"""The server's structured log: one JSON object a line. No request bodies, headers or secrets."""

import logging
import sys
from pathlib import Path
from typing import TextIO, cast

import structlog

Journal = structlog.typing.FilteringBoundLogger


def open_journal(path: Path | None) -> Journal:
    """A logger that writes JSON lines to a file of the owner's, or to stderr."""
    stream: TextIO = sys.stderr
    if path is not None:
        path.touch(mode=0o600, exist_ok=True)
        stream = path.open("a", buffering=1)
    logger = structlog.wrap_logger(
        structlog.WriteLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    return cast(Journal, logger)
