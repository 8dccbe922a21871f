"""The policies that a twin can be asked for, by name."""

from collections.abc import Callable

from irongrid.errors import Problem, SpecError
from irongrid.scheduler.cluster import Policy
from irongrid.scheduler.fifo import Fifo

POLICIES: dict[str, Callable[[], Policy | None]] = {
    "fifo": lambda: Fifo(),
    "fifo-backfill": lambda: Fifo(backfill=True),
    "first-come": lambda: None,
}


def policy_named(name: str) -> Policy | None:
    """The policy; None is the built-in first-come.

    Raises:
        SpecError: there is none of this name.
    """
    make = POLICIES.get(name)
    if make is None:
        problem, fix = f"there is no policy {name!r}", f"Use one of {', '.join(POLICIES)}"
        raise SpecError([Problem(field="--policy", problem=problem, fix=fix)])
    return make()
