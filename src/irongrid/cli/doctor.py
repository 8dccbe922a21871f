"""`irongrid doctor`: look at this machine, and say what to do about each thing that is not well."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum

from irongrid.cli.failures import THE_ANSWER_IS_NO
from irongrid.cli.screen import Screen
from irongrid.client.home import Home


class Level(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing looked at.

    Attributes:
        fix: what to do; empty where all is well.
    """

    name: str
    level: Level
    found: str
    fix: str = ""


def ok(name: str, found: str) -> Check:
    """All is well."""
    return Check(name=name, level=Level.OK, found=found)


def warn(name: str, found: str, fix: str) -> Check:
    """Jobs run, with less comfort."""
    return Check(name=name, level=Level.WARN, found=found, fix=fix)


def fail(name: str, found: str, fix: str) -> Check:
    """Some jobs will not run."""
    return Check(name=name, level=Level.FAIL, found=found, fix=fix)


_STYLE = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}


def doctor(home: Home, *, as_json: bool) -> int:
    """Run every check; the answer is no if one of them fails."""
    screen = Screen(as_json=as_json)
    results = [check for look in _looks(home) for check in look()]
    if not as_json:
        _print(screen, results)
    failed = sum(check.level is Level.FAIL for check in results)
    warned = sum(check.level is Level.WARN for check in results)
    screen.answer(
        {
            "healthy": not failed,
            "failed": failed,
            "warned": warned,
            "checks": [asdict(check) for check in results],
        }
    )
    return THE_ANSWER_IS_NO if failed else 0


def _looks(home: Home) -> Iterable[Callable[[], Iterable[Check]]]:
    from irongrid.cli.checks import devices, machine, place

    yield machine.python
    yield machine.packages
    yield devices.gpus
    yield devices.cgroups
    yield machine.memory
    yield machine.shared_memory
    yield machine.limits
    yield machine.clock
    yield lambda: place.folder(home)
    yield lambda: place.disk(home)
    yield lambda: place.server(home)


def _print(screen: Screen, results: list[Check]) -> None:
    from rich.text import Text

    width = max(len(check.name) for check in results)
    for check in results:
        line = Text(f"{check.level:<4}", style=_STYLE[check.level])
        line.append(f"  {check.name:<{width}}  {check.found}", style="not bold default")
        screen.out.print(line, soft_wrap=True)
        if check.fix:
            screen.say(f"      {'':<{width}}  -> {check.fix}")
    bad = [check for check in results if check.level is not Level.OK]
    if not bad:
        screen.say("all is well. Try: irongrid demo")
