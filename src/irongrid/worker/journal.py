"""The worker's own log: a line per turning point, on stderr, which the engine sends to a file."""

import sys
import time


def note(text: str) -> None:
    """Write a line. It must never hold a variable's value of the job's environment."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    sys.stderr.write(f"{stamp} {text}\n")
    sys.stderr.flush()
