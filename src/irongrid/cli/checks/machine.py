"""The machine: Python, packages, memory, limits and the clock."""

import os
import platform
import resource
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from irongrid.cli.doctor import Check, fail, ok, warn
from irongrid.units import format_bytes

OLDEST_PYTHON = (3, 11)
OPEN_FILES = 4096
PROCESSES = 1024
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - looked at, never written
# gloo and PyTorch's data loaders keep their buffers there.
SHARED_MEMORY_BYTES = 64 * 2**20
MEMORY_BYTES = 2 * 2**30
# 2026-01-01: no machine that can install this version lives before it.
EARLIEST_S = 1_767_225_600


def python() -> Iterator[Check]:
    """Its version, and whether this is Linux."""
    found = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info >= OLDEST_PYTHON:
        yield ok("python", found)
    else:
        yield fail("python", found, "use Python 3.11 or newer")
    if sys.platform == "linux":
        yield ok("system", f"{platform.system()} {platform.release()}")
    else:
        yield fail("system", platform.system(), "run jobs on Linux; clients work anywhere")


def packages() -> Iterator[Check]:
    """What `train:` jobs need. Other jobs bring their own."""
    for name, reason in (("torch", "train: jobs"), ("tokenizers", "train: jobs on text")):
        try:
            yield ok(name, version(name))
        except PackageNotFoundError:
            yield warn(
                name, f"not installed, and {reason} need it", "pip install 'irongrid[train]'"
            )


def memory() -> Iterator[Check]:
    """Cores and main memory that are there for jobs."""
    yield ok("cpus", f"{len(os.sched_getaffinity(0))} cores for this process")
    sizes = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free_bytes, all_bytes = (
        int(sizes[name].split()[0]) * 1024 for name in ("MemAvailable", "MemTotal")
    )
    text = f"{format_bytes(free_bytes)} free of {format_bytes(all_bytes)}"
    if free_bytes >= MEMORY_BYTES:
        yield ok("memory", text)
    else:
        yield warn("memory", text, "free some: the demo alone needs about 1.5 GiB")


def shared_memory() -> Iterator[Check]:
    """Where ranks of one node exchange data."""
    name = str(SHARED_MEMORY)
    if not SHARED_MEMORY.is_dir():
        yield warn(name, "missing", f"mount it: mount -t tmpfs tmpfs {name}")
        return
    found = os.statvfs(SHARED_MEMORY)
    free_bytes = found.f_bavail * found.f_frsize
    if free_bytes >= SHARED_MEMORY_BYTES:
        yield ok(name, f"{format_bytes(free_bytes)} free")
    else:
        fix = "give it 64 MiB or more; in a container: --shm-size=1g"
        yield warn(name, f"{format_bytes(free_bytes)} free", fix)


def limits() -> Iterator[Check]:
    """What one user may open and start."""
    for name, which, least, option in (
        ("open files", resource.RLIMIT_NOFILE, OPEN_FILES, "-n"),
        ("processes", resource.RLIMIT_NPROC, PROCESSES, "-u"),
    ):
        soft, hard = resource.getrlimit(which)
        text = "no limit" if soft == resource.RLIM_INFINITY else f"at most {soft}"
        if soft == resource.RLIM_INFINITY or soft >= least:
            yield ok(name, text)
        elif hard == resource.RLIM_INFINITY or hard >= least:
            yield warn(name, text, f"before irongrid up: ulimit {option} {least}")
        else:
            yield warn(name, text, f"ask the administrator for {least} (limits.conf)")


def clock() -> Iterator[Check]:
    """Whether wall time is plausible and runs at the pace of the monotonic clock."""
    wall_s, steady_s = time.time(), time.monotonic()
    time.sleep(0.05)
    drift_s = (time.time() - wall_s) - (time.monotonic() - steady_s)
    stamp = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(wall_s))
    if wall_s < EARLIEST_S:
        yield fail("clock", f"says {stamp}", "set the clock; run an NTP service")
    elif abs(drift_s) > 0.02:
        yield warn("clock", f"stepped by {drift_s:+.3f} s while watched", "check the NTP service")
    else:
        yield ok("clock", stamp)
