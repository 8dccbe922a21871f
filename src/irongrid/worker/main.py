"""The worker's process: take the order and the place, set the stage, work, leave nothing behind."""

import json
import os
import signal
import socket
import sys
from collections.abc import Mapping

from irongrid.domain.codec import from_json
from irongrid.domain.ids import attempt_id
from irongrid.domain.job import RunTask
from irongrid.domain.messages import LaunchOrder
from irongrid.errors import CodecError
from irongrid.telemetry import procfs
from irongrid.telemetry.cgroup import Limits, usable
from irongrid.worker.agent import Agent
from irongrid.worker.environment import base_environment
from irongrid.worker.gang import Gang
from irongrid.worker.journal import note
from irongrid.worker.place import folder_of, take_place
from irongrid.worker.ranks import Containment, adopt_orphans
from irongrid.worker.sessions import Sessions
from irongrid.worker.zygote import Zygote

_MAX_ORDER_BYTES = 16 * 2**20
_LOOPBACK = "127.0.0.1"


def main() -> int:
    """Carry out the order on stdin. 0: done, or the place was taken; 2: no usable order."""
    try:
        order = from_json(LaunchOrder, json.loads(sys.stdin.buffer.read(_MAX_ORDER_BYTES)))
    except (ValueError, CodecError) as problem:
        # Of the problem only its kind and place: the order holds a token and the user's secrets.
        where = problem.path if isinstance(problem, CodecError) else "JSON"
        note(f"no usable order on stdin: {type(problem).__name__} at {where}")
        return 2
    containment = _containment(order)
    if not take_place(folder_of(order), containment.group_paths):
        note("another worker has had this place")
        return 0
    adopt_orphans()
    try:
        _work(order, containment)
    finally:
        _end_all()
    return 0


def _work(order: LaunchOrder, containment: Containment) -> None:
    base = base_environment(order, _marked_environment(order))
    is_run = isinstance(order.spec.task, RunTask)
    # First of all, as importing torch takes longer than everything else here together.
    zygote = None if is_run else Zygote(base)
    sessions = Sessions(folder_of(order))
    is_first = order.placement.shares[0].node == order.node
    with socket.socket() as reserved:
        rendezvous = _reserve_port(reserved) if is_run and is_first else ""
        gang = Gang(order, base, containment, sessions.path, zygote)
        agent = Agent(order, gang, sessions, containment, rendezvous, _hang_scale(base))
        try:
            agent.run()
        finally:
            sessions.close()


def _hang_scale(base: Mapping[str, str]) -> float:
    """What stretches or shrinks the bounds on silence: a slow machine's, or a test's, choice."""
    text = base.get("IRONGRID_HANG_SCALE", "1")
    try:
        return float(text)
    except ValueError:
        note("IRONGRID_HANG_SCALE is no number; the bounds stay as they are")
        return 1.0


def _marked_environment(order: LaunchOrder) -> dict[str, str]:
    """Our own environment; an engine that starts workers elsewhere may not have marked it."""
    mark = (order.job_dir, attempt_id(order.job, order.epoch), order.node)
    return dict(zip(procfs.MARK_VARIABLES, mark, strict=True)) | dict(os.environ)


def _containment(order: LaunchOrder) -> Containment:
    need = order.spec.resources
    limits = Limits(cpus=need.cpus, memory_bytes=need.memory_bytes)
    attempt = attempt_id(order.job, order.epoch)
    controllers = usable(limits.wanted) if limits.wanted else ()
    if limits.memory_bytes and "memory" not in {each.name for each in controllers}:
        controllers = ()  # Memory is what must be bounded, so rlimits are the better half.
    return Containment(
        limits=limits,
        controllers=controllers,
        group_prefix=f"irongrid-{attempt}-{order.node}-{os.getpid()}.",
    )


def _reserve_port(reserved: socket.socket) -> str:
    """A port where rank 0 can listen, and that the kernel gives to nobody else meanwhile.

    A bound socket keeps the port out of the kernel's choice; as it never listens and both sides set
    SO_REUSEADDR, as torch and JAX do, rank 0 can bind the same port.
    """
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind((_LOOPBACK, 0))
    return f"{_LOOPBACK}:{reserved.getsockname()[1]}"


def _end_all() -> None:
    """Whatever still hangs below this process has no reason to live on."""
    while left := procfs.descendants(os.getpid()):
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            except (ProcessLookupError, ChildProcessError):
                continue
