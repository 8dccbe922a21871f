"""The home folder, its disk, and the server that runs for it."""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from irongrid.cli.doctor import Check, fail, ok, warn
from irongrid.client.api import Client
from irongrid.client.home import Home
from irongrid.errors import IrongridError, Unauthorised, Unreachable
from irongrid.units import format_bytes

DISK_BYTES = 2 * 2**30


def folder(home: Home) -> Iterator[Check]:
    """Whether the home is ours alone and can be written."""
    path = home.path
    if not path.exists():
        parent = _existing(path)
        if os.access(parent, os.W_OK):
            yield ok("home", f"{path} (made by the first irongrid up)")
        else:
            yield fail("home", f"{parent} cannot be written", "set IRONGRID_HOME to another folder")
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        yield fail("home", f"{path} cannot be written", "set IRONGRID_HOME to a folder of yours")
    elif mode & 0o077:
        yield warn("home", f"{path} is open to others ({mode:o})", f"chmod 700 {path}")
    else:
        yield ok("home", str(path))


def disk(home: Home) -> Iterator[Check]:
    """Room for logs and checkpoints."""
    free_bytes = shutil.disk_usage(_existing(home.path)).free
    text = f"{format_bytes(free_bytes)} free"
    if free_bytes >= DISK_BYTES:
        yield ok("disk", text)
    else:
        yield warn("disk", text, "free some, or set IRONGRID_HOME to a larger disk")


def server(home: Home) -> Iterator[Check]:
    """Whether a server answers, and whether it knows our token."""
    try:
        with Client.from_home(home, answer_s=5.0) as client:
            status = client.status()
    except Unauthorised as error:
        yield fail("server", error.problem, "is another server using this address? irongrid up")
        return
    except Unreachable as error:
        if home.address():
            fix = "it was killed or hangs; running jobs go on: irongrid up --detach"
            yield warn("server", f"{error.target} does not answer", fix)
        else:
            yield ok("server", "none is up (irongrid up --detach starts one)")
        return
    except IrongridError as error:
        yield fail("server", str(error), f"see {home.server_log}")
        return
    devices = sum(node.devices for node in status.nodes)
    free = sum(node.free_devices for node in status.nodes if not node.closed)
    running = status.counts.get("running", 0)
    yield ok(
        "server",
        f"{home.address()}, version {status.version}, {running} jobs run, "
        f"{free} of {devices} devices free",
    )
    for node in status.nodes:
        if node.closed:
            found = f"{node.node} takes no new work: {node.closed}"
            yield warn("node", found, f"open it when it is well: irongrid undrain {node.node}")


def _existing(path: Path) -> Path:
    return next(place for place in (path, *path.absolute().parents) if place.exists())
