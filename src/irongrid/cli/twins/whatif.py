"""`irongrid twin whatif`: the log of a live server, replayed with a change."""

from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

from irongrid.cli.failures import wrong_input
from irongrid.cli.screen import Screen
from irongrid.cli.twins.compare import show_both
from irongrid.cli.twins.page import compare_page
from irongrid.cli.twins.progress import FROM_S
from irongrid.cli.twins.run import simulated, write_page
from irongrid.domain.event import Recorded
from irongrid.twin.changes import Change
from irongrid.twin.whatif import answered, question
from irongrid.units import format_duration

_LINE_EVERY_S = 5.0
_EVENTS = 1000


def whatif(log: Path, *, policy: str, nodes: str, html: str, as_json: bool) -> int:
    """Answer what would have changed.

    Raises:
        SpecError: nothing is to be changed, or the log or the change is of no use.
        Refused: the log cannot be read, or a job needs more than the changed fleet has.
    """
    from irongrid.server.transfer import read_log

    screen = Screen(as_json=as_json)
    change = Change(policy=policy, nodes=nodes)
    if not change:
        raise wrong_input("there is nothing to change", "use --nodes +8, --policy NAME, or both")
    asked = question(_told(screen, log, read_log(log)), str(log), change)
    before, after, found = answered(asked, lambda trial: simulated(screen, trial))
    show_both(screen, (before, after), found)
    _say_trust(screen, found)
    write_page(screen, html, lambda: compare_page((before, after), found))
    screen.answer(found)
    return 0


def _told(screen: Screen, log: Path, records: Iterator[Recorded]) -> Iterator[Recorded]:
    """Records, with a line now and then while a long log is read."""
    due_s = monotonic() + FROM_S
    for record in records:
        if record.seq % _EVENTS == 0 and monotonic() >= due_s:
            due_s = monotonic() + _LINE_EVERY_S
            screen.note(f"{log}: {record.seq:,} events read")
        yield record


def _say_trust(screen: Screen, found: dict[str, Any]) -> None:
    """How far the replay is from the log, and what is assumed."""
    gap = found["replay_of_the_log"]
    screen.say()
    if gap["jobs"]:
        jct = [format_duration(gap[f"{side}_avg_jct_s"]) for side in ("recorded", "replayed")]
        wait = [format_duration(gap[f"{side}_avg_queue_s"]) for side in ("recorded", "replayed")]
        screen.say(
            f"How far A is from the log, over {gap['jobs']:,} jobs that succeeded: mean completion "
            f"{jct[0]} in the log and {jct[1]} in A, mean wait {wait[0]} and {wait[1]}; half of "
            f"the jobs are within {format_duration(gap['median_error_s'])}."
        )
    screen.say("Assumed:")
    for sentence in found["assumptions"]:
        screen.say(f"  - {sentence}")
