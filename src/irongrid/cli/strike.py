"""Which processes are a job's training ranks, by /proc."""

from pathlib import Path

_ZYGOTE = "irongrid.train.zygote"


def training_ranks(job_dir: Path) -> list[int]:
    """Pids of a train job's ranks on this machine, in the order of their start.

    Ranks are forked from a warm parent, the zygote, and so share its command line and its
    environment as the kernel shows it. The zygote's first child is the store where ranks meet.
    """
    mark = f"IRONGRID_JOB_DIR={job_dir}".encode()
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and _is_of(folder, mark):
            parents[int(folder.name)] = _parent(folder)
    children = [pid for pid, parent in parents.items() if parent in parents]
    return sorted(children, key=_start_ticks)[1:]


def _is_of(folder: Path, mark: bytes) -> bool:
    try:
        command = (folder / "cmdline").read_bytes().split(b"\0")
        environment = (folder / "environ").read_bytes().split(b"\0")
    except OSError:
        return False  # it has ended meanwhile, or is another user's
    return _ZYGOTE.encode() in command and mark in environment


def _parent(folder: Path) -> int:
    return int(_stat(folder)[1])


def _start_ticks(pid: int) -> int:
    return int(_stat(Path(f"/proc/{pid}"))[19])


def _stat(folder: Path) -> list[str]:
    """Fields of /proc/PID/stat after the name, which may hold spaces: state, ppid, ..."""
    return (folder / "stat").read_text().rpartition(")")[2].split()
