"""The worker's own log: a line per turning point, on stderr, which the engine sends to a file."""

import contextlib
import sys
import time


def note(text: str) -> None:
    """Write a line. It must never hold a variable's value of the job's environment."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    pass_on(f"{stamp} {text}\n".encode())


def pass_on(data: bytes) -> None:
    """Write what another process has to say. A full disk costs lines here, never the job."""
    with contextlib.suppress(OSError):
        sys.stderr.buffer.write(data)
        sys.stderr.buffer.flush()
