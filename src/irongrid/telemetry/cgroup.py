"""Hard limits and honest figures for one rank: control groups, version 1 or 2, whichever is there.

A machine may offer both versions, one controller in each. We nest below the group that we are in,
so that limits set on us from outside keep holding.

Sources: Linux kernel documentation, admin-guide/cgroup-v1/memory.rst, scheduler/sched-bwc.rst and
admin-guide/cgroup-v2.rst.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_PERIOD_US = 100_000
_MIN_QUOTA_US = 1_000


@dataclass(frozen=True, slots=True)
class Controller:
    """One resource that the kernel can limit, and the folder below which we may do so."""

    name: str
    version: int
    base: Path


@dataclass(frozen=True, slots=True)
class Limits:
    """What a group may use; 0 sets no limit."""

    cpus: float = 0.0
    memory_bytes: int = 0

    @property
    def wanted(self) -> tuple[str, ...]:
        """The controllers that these limits need."""
        named = (("memory", self.memory_bytes), ("cpu", self.cpus))
        return tuple(name for name, limit in named if limit)


def own_folders(proc: Path = Path("/proc/self")) -> dict[str, tuple[int, Path]]:
    """Where this process stands: (version, folder) by controller."""
    paths: dict[str, str] = {}
    for line in (proc / "cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        paths.update(dict.fromkeys(names.split(","), path))
    found: dict[str, tuple[int, Path]] = {}
    for line in (proc / "mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        root, mount = before.split()[3:5]
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup":
            for name in set(options.split(",")) & {"memory", "cpu"}:
                found[name] = (1, _inside(mount, root, paths.get(name, "/")))
        elif kind == "cgroup2":
            folder = _inside(mount, root, paths.get("", "/"))
            for name in _words(folder / "cgroup.controllers") & {"memory", "cpu"}:
                found.setdefault(name, (2, folder))
    return found


def usable(wanted: Sequence[str], proc: Path = Path("/proc/self")) -> tuple[Controller, ...]:
    """Those of the wanted controllers below which this process can make groups."""
    folders = own_folders(proc)
    named = [(name, *folders[name]) for name in wanted if name in folders]
    first = [Controller(name, 1, folder) for name, version, folder in named if version == 1]
    second = [(name, folder) for name, version, folder in named if version == 2]
    return tuple(each for each in first if _works(each)) + _usable_together(second)


def _usable_together(named: Sequence[tuple[str, Path]]) -> tuple[Controller, ...]:
    """Controllers of version 2, all below one folder: there a process is in one group only.

    Below our own group they work where no process is in it, as at the root; else beside it.
    """
    best: tuple[Controller, ...] = ()
    for base in dict.fromkeys(base for _, own in named for base in (own, own.parent)):
        here = [Controller(name, 2, base) for name, _ in named]
        working = tuple(each for each in here if _works(each, own=base == named[0][1]))
        best = max(best, working, key=len)
    return best


class Group:
    """The control groups of one rank: one folder per controller."""

    def __init__(self, controllers: Sequence[Controller], name: str) -> None:
        self._folders = {each: each.base / name for each in controllers}

    @property
    def procs_files(self) -> tuple[str, ...]:
        """Files into which a process writes `0` to join."""
        folders = dict.fromkeys(self._folders.values())
        return tuple(str(folder / "cgroup.procs") for folder in folders)

    def create(self, limits: Limits) -> None:
        """Make the group with its limits.

        Raises:
            OSError: the kernel does not allow it.
        """
        for controller, folder in self._folders.items():
            folder.mkdir(exist_ok=True)
            for file, value in _settings(controller, limits):
                if (folder / file).exists():
                    (folder / file).write_text(value)

    def memory_peak_bytes(self) -> int | None:
        """The most memory that the group has used; None where the kernel does not say."""
        for folder in self._of("memory"):
            for file in ("memory.max_usage_in_bytes", "memory.peak"):
                if (folder / file).exists():
                    return int((folder / file).read_text())
        return None

    def oom_kills(self) -> int:
        """How many processes of the group the kernel has killed for want of memory."""
        for folder in self._of("memory"):
            for file in ("memory.oom_control", "memory.events"):
                if (folder / file).exists():
                    return _entry(folder / file, "oom_kill")
        return 0

    def remove(self) -> None:
        """Take the group away. It must hold no process; one that is still dying keeps it."""
        for folder in self._folders.values():
            # One that is left behind costs nothing; engines sweep such folders once more.
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _of(self, name: str) -> Iterator[Path]:
        return (folder for each, folder in self._folders.items() if each.name == name)


def cpu_quota() -> float | None:
    """CPU cores that our own groups allow, the tightest of them; None is no limit."""
    version, folder = own_folders().get("cpu", (0, Path("/")))
    quotas = []
    for each in _upwards(folder) if version else ():
        if version == 1:
            words = [_text(each / "cpu.cfs_quota_us"), _text(each / "cpu.cfs_period_us")]
        else:
            words = _text(each / "cpu.max").split()
        if len(words) == 2 and words[0].isdecimal() and words[1].isdecimal():
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def memory_limit_bytes() -> int | None:
    """Memory that our own groups allow, the tightest of them; None is no limit."""
    version, folder = own_folders().get("memory", (0, Path("/")))
    file = "memory.limit_in_bytes" if version == 1 else "memory.max"
    words = [_text(each / file) for each in _upwards(folder)] if version else []
    return min((int(word) for word in words if word.isdecimal()), default=None)


def _settings(controller: Controller, limits: Limits) -> tuple[tuple[str, str], ...]:
    """Files and values, in the order in which the kernel takes them."""
    if controller.name == "memory":
        size = str(limits.memory_bytes)
        if controller.version == 1:
            return ("memory.limit_in_bytes", size), ("memory.memsw.limit_in_bytes", size)
        # A rank that has lost one of its processes is of no use: let the kernel end all of them.
        return ("memory.max", size), ("memory.swap.max", "0"), ("memory.oom.group", "1")
    quota_us = max(_MIN_QUOTA_US, round(limits.cpus * _PERIOD_US))
    if controller.version == 1:
        return ("cpu.cfs_period_us", str(_PERIOD_US)), ("cpu.cfs_quota_us", str(quota_us))
    return (("cpu.max", f"{quota_us} {_PERIOD_US}"),)


def _works(controller: Controller, *, own: bool = True) -> bool:
    """Whether a group with this controller can be made; the sure way to know is to make one."""
    probe = controller.base / f"irongrid-probe-{os.getpid()}-{controller.name}"
    try:
        if controller.version == 2:
            enabled = controller.base / "cgroup.subtree_control"
            if controller.name not in _words(enabled):
                if not own:
                    return False
                enabled.write_text(f"+{controller.name}")
        probe.mkdir()
        probe.rmdir()
    except OSError:
        return False
    return os.access(controller.base / "cgroup.procs", os.W_OK)


def _inside(mount: str, root: str, path: str) -> Path:
    """The folder of a group, seen through a mount that may show only a part of the tree."""
    if root != "/" and (path == root or path.startswith(root + "/")):
        path = path[len(root) :]
    folder = Path(mount) / path.lstrip("/")
    return folder if folder.is_dir() else Path(mount)


def _upwards(folder: Path) -> Iterator[Path]:
    while (folder / "cgroup.procs").exists():
        yield folder
        folder = folder.parent


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _words(path: Path) -> set[str]:
    return set(_text(path).split())


def _entry(path: Path, key: str) -> int:
    for line in path.read_text().splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            return int(value)
    return 0
