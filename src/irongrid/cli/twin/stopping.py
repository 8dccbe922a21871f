"""Ctrl-C in a run on virtual time: it ends, and nothing else does."""

from collections.abc import Callable

from irongrid.cli.failures import INTERRUPTED
from irongrid.cli.screen import Screen


def stoppable(work: Callable[[], int], *, as_json: bool) -> int:
    """Do the work; after Ctrl-C say what that means, and leave."""
    try:
        return work()
    except KeyboardInterrupt:
        screen = Screen(as_json=as_json)
        screen.note("")
        screen.note("irongrid: stopped; a run that did not end has no figures, and no file changed")
        screen.answer({"interrupted": True, "exit_code": INTERRUPTED})
        return INTERRUPTED
