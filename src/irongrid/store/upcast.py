"""Brings bodies of old event versions up to the current ones, so that a log replays for ever.

When the form of a kind changes, its class's `version` rises by one, and `UPCASTERS` gets a function
that turns a body of the version before into one of the new version. Old functions stay.
"""

from collections.abc import Callable, Mapping
from typing import Any, get_args

from irongrid.domain.event import Event
from irongrid.errors import StoreError

Body = dict[str, Any]
Upcaster = Callable[[Body], Body]

EVENT_TYPES: dict[str, Any] = {member.kind: member for member in get_args(Event)}

# kind -> version that the function takes -> function that gives the next version.
UPCASTERS: dict[str, Mapping[int, Upcaster]] = {}


def upcast(kind: str, version: int, body: Body) -> Body:
    """The body in the current form of its kind.

    Raises:
        StoreError: this Irongrid knows no such kind or version.
    """
    event_type = EVENT_TYPES.get(kind)
    if event_type is None:
        raise StoreError(
            f"unknown event kind {kind!r}: a newer Irongrid wrote it. Use that version"
        )
    if version > event_type.version or version < 1:
        raise StoreError(
            f"{kind} has version {version}, and this Irongrid knows 1 to {event_type.version}: "
            "a newer Irongrid wrote it. Use that version"
        )
    for step in range(version, event_type.version):
        body = UPCASTERS[kind][step](body)
    return body
