"""Child process: folds the log and writes a snapshot of the state, at a low priority.

The store's name comes in the environment, as it may hold a password.
"""

import os
import sys

from irongrid.control import snapshot
from irongrid.errors import StoreError
from irongrid.server.replay import load_state
from irongrid.store import open_reader

TARGET_VARIABLE = "IRONGRID_SNAPSHOT_OF"
# About a tenth of a core's share beside busy processes: it neither disturbs them nor starves.
NICE = 10


def main() -> int:
    """Make one snapshot of the store that the environment names."""
    os.nice(NICE)
    try:
        reader = open_reader(os.environ[TARGET_VARIABLE])
        state = load_state(reader)
        reader.write_snapshot(state.seq, snapshot.dump(state))
        reader.close()
    except StoreError as problem:
        sys.stderr.write(f"irongrid snapshot: {problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
