"""`irongrid down`: stop the server, and say which jobs go on without it."""

import os
import time

from irongrid.cli.ps import gather
from irongrid.cli.screen import Screen
from irongrid.client.api import Client
from irongrid.client.home import Home
from irongrid.domain.codec import to_json
from irongrid.domain.messages import JobRow
from irongrid.errors import Unreachable

STOP_S = 120.0
POLL_S = 0.05
_ON_DEVICES = ("starting", "running")
_SHOWN = 20


def down(home: Home, *, stop_jobs: bool, as_json: bool) -> int:
    """Stop the server of this home, if there is one."""
    screen = Screen(as_json=as_json)
    try:
        with Client.from_home(home) as client:
            jobs = gather(client, _ON_DEVICES, limit=1000).jobs
            address = client.address
            client.shutdown(stop_jobs=stop_jobs)
            if stop_jobs and jobs:
                screen.note(f"waiting for {_count(jobs)} to save and stop ...")
            wait_until_gone(home, client)
    except Unreachable as nobody:
        if _is_alive(home):
            raise
        screen.say(f"no server is up for {home.path}")
        screen.note(f"({nobody.problem})")
        screen.answer({"stopped": False, "home": str(home.path), "jobs": []})
        return 0
    screen.say(f"irongrid at {address} is down")
    if jobs and stop_jobs:
        screen.say(f"  stopped with it, and back in the queue: {_names(jobs)}")
    elif jobs:
        go = "goes" if len(jobs) == 1 else "go"
        screen.say(f"  {_count(jobs)} {go} on without it: {_names(jobs)}")
        screen.say("  the next irongrid up finds them again")
    screen.answer({"stopped": True, "home": str(home.path), "jobs": to_json(jobs)})
    return 0


def wait_until_gone(home: Home, client: Client) -> None:
    """Return once the server has let go of its home.

    Raises:
        Unreachable: it still answers after a long time.
    """
    deadline = time.monotonic() + STOP_S
    while _is_alive(home) or client.healthy():
        if time.monotonic() > deadline:
            raise Unreachable(
                client.address,
                f"still up {STOP_S:.0f} s after it was told to stop",
                f"log: {home.server_log}",
            )
        time.sleep(POLL_S)


def _is_alive(home: Home) -> bool:
    """Whether the process that holds the home exists; an orderly stop lets go first."""
    holder = home.holder()
    if holder is None:
        return False
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's, so it exists
    return True


def _count(jobs: tuple[JobRow, ...]) -> str:
    return f"{len(jobs)} job" + ("s" if len(jobs) > 1 else "")


def _names(jobs: tuple[JobRow, ...]) -> str:
    told = ", ".join(f"{row.job_id} ({row.name})" for row in jobs[:_SHOWN])
    return told + (f" and {len(jobs) - _SHOWN} more" if len(jobs) > _SHOWN else "")
