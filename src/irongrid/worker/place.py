"""The worker's place: the folder of one node in one attempt, taken once and for good."""

import fcntl
import json
import os
from pathlib import Path

from irongrid.domain.messages import LaunchOrder
from irongrid.telemetry import procfs


def folder_of(order: LaunchOrder) -> Path:
    """Where the worker of an order keeps its files."""
    return Path(order.job_dir) / f"attempt-{order.epoch}" / order.node


def place_file(folder: Path) -> Path:
    """What a worker writes of itself, where engines look for it."""
    return folder / "worker.json"


def take_place(folder: Path, cgroups: tuple[str, ...]) -> bool:
    """Take the place for this process; False if any worker has ever had it.

    The lock, held until this process ends, decides between workers that start at once. The file
    tells engines whom to look for, and late workers that they are late.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock_fd = os.open(folder / "worker.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock_fd)
        return False
    pid = os.getpid()
    record = {"pid": pid, "start_ticks": procfs.start_ticks(pid), "cgroups": list(cgroups)}
    mine = folder / f"worker.json.{pid}"
    mine.write_text(json.dumps(record))
    try:
        os.link(mine, place_file(folder))
    except FileExistsError:
        os.close(lock_fd)
        return False
    finally:
        mine.unlink()
    return True
