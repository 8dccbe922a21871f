"""Child process: folds the log and writes a snapshot of the state, at the lowest priority.

The store's name comes in the environment, as it may hold a password.
"""

import os
import sys

from irongrid.control import snapshot
from irongrid.errors import StoreError
from irongrid.server.replay import load_state
from irongrid.store import open_reader

TARGET_VARIABLE = "IRONGRID_SNAPSHOT_OF"


def main() -> int:
    """Make one snapshot of the store that the environment names."""
    lower_priority()
    try:
        reader = open_reader(os.environ[TARGET_VARIABLE])
        state = load_state(reader)
        reader.write_snapshot(state.seq, snapshot.dump(state))
        reader.close()
    except StoreError as problem:
        sys.stderr.write(f"irongrid snapshot: {problem}\n")
        return 1
    return 0


def lower_priority() -> None:
    """Run only when nobody else wants the processor."""
    os.nice(19)
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


if __name__ == "__main__":
    sys.exit(main())
