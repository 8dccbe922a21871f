"""An exported log: into a new store, to move house or to a team's database; or to be looked at."""

import time
from collections.abc import Iterator
from pathlib import Path

from irongrid.domain.event import Recorded
from irongrid.errors import Refused, StoreError
from irongrid.server.home import Home
from irongrid.store import bounded_lines, import_ndjson, open_store, read_ndjson


def import_log(home_folder: Path, store_url: str, exported: Path) -> int:
    """Fill the empty store of a home with an exported log; returns how many events it holds.

    Values of jobs' environments are not in an export; jobs that have some must be submitted again.

    Raises:
        Refused: the file cannot be read.
        StoreHeld: a server runs on this home or store.
        StoreError: the store is not empty, or a line is wrong; then nothing is imported.
    """
    home = Home(home_folder)
    home.prepare()
    home.lock(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    try:
        store = open_store(store_url or str(home.database), holder="an import")
        try:
            with exported.open(encoding="utf-8") as stream:
                return import_ndjson(bounded_lines(stream), store)
        finally:
            store.close()
    except (OSError, UnicodeDecodeError) as problem:
        raise _unreadable(exported, problem) from None
    finally:
        home.unlock()


def read_log(exported: Path) -> Iterator[Recorded]:
    """The records of an exported log, one after another.

    Raises:
        Refused: the file cannot be read, or a line is wrong; the message names it.
    """
    try:
        with exported.open(encoding="utf-8") as stream:
            yield from read_ndjson(bounded_lines(stream))
    except StoreError as error:
        fix = "write the whole log again: irongrid events --export FILE"
        raise Refused("bad_log", f"{exported}: {error}", fix) from None
    except (OSError, UnicodeDecodeError) as problem:
        raise _unreadable(exported, problem) from None


def _unreadable(exported: Path, problem: OSError | UnicodeDecodeError) -> Refused:
    words = getattr(problem, "strerror", None) or "it is no UTF-8 text"
    return Refused("bad_file", f"{exported} cannot be read: {words}", "check the path")
