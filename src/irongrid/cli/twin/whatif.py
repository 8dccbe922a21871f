"""`irongrid twin whatif`: the log of a live server, replayed with a change."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from irongrid.cli.failures import wrong_input
from irongrid.cli.screen import Screen
from irongrid.cli.twin.compare import show_both
from irongrid.cli.twin.page import compare_page
from irongrid.cli.twin.progress import counted
from irongrid.cli.twin.run import simulated, write_page
from irongrid.domain.event import Recorded
from irongrid.twin.changes import Change
from irongrid.twin.whatif import answered, question
from irongrid.units import format_duration


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
    asked = question(_told(counted(screen, str(log)), read_log(log)), str(log), change)
    before, after, found = answered(asked, lambda trial: simulated(screen, trial))
    show_both(screen, (before, after), found)
    _say_trust(screen, found)
    write_page(screen, html, lambda: compare_page((before, after), found))
    screen.answer(found)
    return 0


def _told(tell: Callable[[int], None], records: Iterator[Recorded]) -> Iterator[Recorded]:
    for record in records:
        tell(record.seq)
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
