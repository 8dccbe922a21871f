"""What is said when the server goes, or the person presses Ctrl-C, while something is watched."""

from collections.abc import Callable

from irongrid.cli.screen import Screen
from irongrid.errors import Unreachable


def waits_for_server(screen: Screen) -> Callable[[Unreachable], None]:
    """The remark for a stream that has lost its server."""

    def say(lost: Unreachable) -> None:
        screen.note(f"irongrid: {lost.problem}; running jobs go on, waiting for a server ...")

    return say


def say_goes_on(screen: Screen, what: str, again: str) -> None:
    """After Ctrl-C: nothing but the watching has ended."""
    screen.note("")
    screen.note(f"irongrid: stopped watching; {what}. Watch again: {again}")
