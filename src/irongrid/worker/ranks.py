"""One rank as a process: its pipes, its limits, how it starts, and what its end means."""

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from irongrid.domain.failure import Failure, FailureCode
from irongrid.session.protocol import LOST_PEER_EXIT
from irongrid.telemetry.cgroup import Controller, Group, Limits
from irongrid.telemetry.ranklogs import RankLog
from irongrid.units import format_bytes
from irongrid.worker.output import Pipe, Tail

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


class StartFailed(Exception):
    """A rank could not be started, for a reason that a person can remove."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Containment:
    """How this node limits its ranks: by cgroups, else by rlimits, or not at all."""

    limits: Limits
    controllers: tuple[Controller, ...]
    group_prefix: str

    @property
    def kind(self) -> str:
        """The word that WorkerJoined carries."""
        if self.controllers:
            return f"cgroup-v{self.controllers[0].version}"
        return "rlimit" if self.limits.memory_bytes else "none"

    @property
    def group_paths(self) -> tuple[str, ...]:
        """Path prefixes of every cgroup that may be made, for whoever has to clean up."""
        return tuple(str(each.base / self.group_prefix) for each in self.controllers)

    def group_of(self, rank: int, generation: int) -> Group | None:
        """A fresh group for one rank.

        Raises:
            OSError: the kernel does not allow it any more.
        """
        if not self.controllers:
            return None
        group = Group(self.controllers, f"{self.group_prefix}r{rank}.g{generation}")
        group.create(self.limits)
        return group


@dataclass(slots=True, kw_only=True)
class Rank:
    """A rank of the current generation. `status` is as from `os.waitpid`, once it has ended."""

    number: int
    log: RankLog
    group: Group | None
    tail: Tail = field(default_factory=Tail)
    out: Pipe = field(init=False)
    err: Pipe = field(init=False)
    pid: int | None = None
    pidfd: int | None = None
    status: int | None = None
    phase: str = ""
    # Kept, as a forgotten Popen would collect its process behind our back.
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.out, self.err = Pipe(self.log, None), Pipe(self.log, self.tail)

    def running(self, pid: int) -> None:
        """The process exists."""
        self.pid = pid
        # A rank that is dead and reaped already has no descriptor; its status is on its way.
        with contextlib.suppress(ProcessLookupError):
            self.pidfd = os.pidfd_open(pid)

    def ended(self, status: int) -> None:
        """The process has been collected."""
        self.status = status
        if self.process is not None:
            self.process.returncode = os.waitstatus_to_exitcode(status)

    def send_signal(self, number: signal.Signals) -> None:
        """To the rank's whole group, while its number is surely its own."""
        if self.pid is None or self.status is not None:
            return
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            # Just forked, and not yet the leader of a group of its own.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def release(self) -> None:
        """Let go of everything, once no process of the rank is left."""
        for pipe in (self.out, self.err):
            pipe.close()
        if self.pidfd is not None:
            os.close(self.pidfd)
        if self.group is not None:
            self.group.remove()


def adopt_orphans() -> None:
    """Become the parent of every descendant that loses its own, so that none gets away."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(parent: int) -> Callable[[], None]:
    """What a child calls between fork and exec, so that it is killed when the worker is.

    The C library is bound beforehand, and nothing here takes a lock that a thread of the parent
    may hold at the fork.
    """
    prctl, getppid, exit_now = _libc.prctl, os.getppid, os._exit

    def bind() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if getppid() != parent:
            exit_now(1)

    return bind


def spawn(
    rank: Rank, argv: Sequence[str], environment: Mapping[str, str], workdir: str, limits: Limits
) -> None:
    """Start a command as a rank, in a session of its own and inside its limits.

    Raises:
        StartFailed: there is no such command or folder, or it may not be run.
    """
    bind = die_with_parent(os.getpid())
    procs_files = rank.group.procs_files if rank.group is not None else ()

    def prepare() -> None:
        bind()
        for path in procs_files:
            fd = os.open(path, os.O_WRONLY)
            os.write(fd, b"0")
            os.close(fd)

    try:
        rank.process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=rank.out.write_fd,
            stderr=rank.err.write_fd,
            env=environment,
            cwd=workdir,
            start_new_session=True,
            preexec_fn=prepare,
        )
    except FileNotFoundError as problem:
        raise StartFailed(f"{argv[0]!r} was not found on this node") from problem
    except (OSError, subprocess.SubprocessError, ValueError) as problem:
        raise StartFailed(f"{argv[0]!r} could not be started: {problem}") from problem
    rank.running(rank.process.pid)
    limit_data(rank, limits)


def limit_data(rank: Rank, limits: Limits) -> None:
    """Without cgroups: bound the private memory that a rank may ask for.

    RLIMIT_DATA counts anonymous and private writable memory. RLIMIT_AS would count address space,
    of which torch reserves far more than it ever uses. What a process allocates beyond is refused
    to it, where a cgroup would have it killed.
    """
    if rank.group is None and limits.memory_bytes and rank.pid is not None:
        size = limits.memory_bytes
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(rank.pid, resource.RLIMIT_DATA, (size, size))


def failure_of(rank: Rank, node: str, limits: Limits) -> Failure | None:
    """What a rank's end means; None if it ended well."""
    assert rank.status is not None
    exit_code = os.waitstatus_to_exitcode(rank.status)
    if exit_code == 0:
        return None
    name = _signal_name(-exit_code) if exit_code < 0 else None
    peak_bytes = rank.group.memory_peak_bytes() if rank.group is not None else None
    if rank.group is not None and rank.group.oom_kills() > 0:
        code, what = FailureCode.OUT_OF_MEMORY, "ran out of memory"
    elif name is not None:
        code, what = FailureCode.SIGNAL, f"was ended by {name}"
    else:
        code, what = FailureCode.EXIT_CODE, f"exited with code {exit_code}"
    message = f"rank {rank.number} {what}" + (f" in phase {rank.phase}" if rank.phase else "")
    if code is FailureCode.OUT_OF_MEMORY:
        message += f": {_memory(limits, peak_bytes)}"
    return Failure(
        code=code,
        message=message,
        node=node,
        rank=rank.number,
        exit_code=exit_code if exit_code > 0 else None,
        signal=name,
        phase=rank.phase,
        memory_limit_bytes=limits.memory_bytes if peak_bytes is not None else None,
        memory_peak_bytes=peak_bytes,
        stderr_tail=rank.tail.lines(),
    )


def recipe_failure_of(rank: Rank, node: str, limits: Limits) -> Failure | None:
    """What the end of a rank of the recipe means, whose exit codes are ours."""
    failure = failure_of(rank, node, limits)
    if failure is None or failure.exit_code != LOST_PEER_EXIT:
        return failure
    message = f"rank {rank.number} lost its connection to another rank"
    return replace(failure, code=FailureCode.LOST_PEER, message=message)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"  # Most real-time signals have no name.


def _memory(limits: Limits, peak_bytes: int | None) -> str:
    peak = f", its peak {format_bytes(peak_bytes)}" if peak_bytes is not None else ""
    return f"its limit is {format_bytes(limits.memory_bytes)}{peak}"
