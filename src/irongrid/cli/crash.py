"""An exception that nobody expected: kept in a file for us, one sentence for the person."""

import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

from irongrid.cli.failures import OUR_FAULT, Shown
from irongrid.client.home import Home


def record(error: BaseException, home: Home) -> Shown:
    """Write the traceback down and say where it is."""
    text = "".join(traceback.format_exception(error))
    place = _write(home, text)
    return Shown(
        exit_code=OUR_FAULT,
        code="internal",
        problem=f"this should not have happened: {type(error).__name__}: {error}",
        fix=f"please report it with {place}" if place else "please report it",
    )


def _write(home: Home, text: str) -> Path | None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    command = sys.argv[1] if len(sys.argv) > 1 else ""  # the verb only: arguments may hold secrets
    for folder in (home.path, Path(tempfile.gettempdir())):
        path = folder / "cli-errors.log"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError:
            continue  # no home yet, or not ours: the next folder does
        with os.fdopen(descriptor, "a") as file:
            file.write(f"== {stamp} irongrid {command}\n{text}\n")
        return path
    return None
