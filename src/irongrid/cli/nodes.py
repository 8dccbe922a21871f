"""`irongrid drain` and `undrain`: take a node out of use, and back into it."""

from irongrid.cli.screen import Screen
from irongrid.client.api import Client
from irongrid.client.home import Home
from irongrid.domain.codec import to_json
from irongrid.domain.messages import NodeDetail


def drain(home: Home, node: str, *, leave: bool, as_json: bool) -> int:
    """Give a node no new work, and say who is still there."""
    screen = Screen(as_json=as_json)
    with Client.from_home(home) as client:
        detail = client.drain(node, leave=leave)
    screen.say(f"{node} takes no new work. {_still_there(detail, leave=leave)}")
    screen.say(f"  next   irongrid undrain {node}")
    screen.answer(to_json(detail))
    return 0


def undrain(home: Home, node: str, *, as_json: bool) -> int:
    """Give a node work again."""
    screen = Screen(as_json=as_json)
    with Client.from_home(home) as client:
        detail = client.undrain(node)
    row = detail.row
    screen.say(f"{node} takes work: {row.free_devices} of {row.devices} devices are free")
    screen.answer(to_json(detail))
    return 0


def _still_there(detail: NodeDetail, *, leave: bool) -> str:
    if not detail.jobs:
        return "Nothing runs there."
    jobs = ", ".join(detail.jobs)
    if leave:
        return f"To save and go on elsewhere: {jobs}."
    return f"To run to their end there: {jobs} (with --leave they save and go)."
