"""One warm process per node from which ranks are forked, so that a restart imports nothing.

It has a single thread, as forking needs: torch, FSDP2 and the model are imported and have
run one tiny step, and no rank pays for that again. It speaks JSON lines with its worker over the
socket whose descriptor is in `IRONGRID_ZYGOTE_FD`:

    <- {"op": "ready"}
    -> {"op": "rendezvous", "host": H}
    <- {"op": "rendezvous", "pid": P, "host": H, "port": N}
    -> {"op": "fork", "rank": R, "generation": G, "env": {..}, "cgroup_procs": [..]}
       with the rank's stdout and stderr as descriptors
    <- {"op": "forked", "rank": R, "generation": G, "pid": P}
    <- {"op": "exited", "pid": P, "status": S}

It ends when the worker closes the socket or dies, and all that it forked ends with it.
"""

import ctypes
import gc
import json
import os
import select
import signal
import socket
import sys
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

DESCRIPTOR_VARIABLE = "IRONGRID_ZYGOTE_FD"
_PR_SET_PDEATHSIG = 1
_RECEIVE_BYTES = 2**18
_RECEIVE_DESCRIPTORS = 64
_libc = ctypes.CDLL(None, use_errno=True)


class Zygote:
    """The serving loop. `become_rank` runs in the forked child and never returns."""

    def __init__(
        self, control: socket.socket, become_rank: Callable[[Mapping[str, str]], NoReturn]
    ) -> None:
        self._control, self._become_rank = control, become_rank
        self._text = bytearray()
        self._descriptors: deque[int] = deque()
        self._children: set[int] = set()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def serve(self) -> None:
        """Answer requests until the worker goes."""
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._say({"op": "ready"})
        control = self._control.fileno()
        while True:
            readable, _, _ = select.select([control, self._wake_read], [], [])
            if self._wake_read in readable:
                os.read(self._wake_read, 4096)
                self._reap()
            if control in readable and not self._receive():
                return

    def _receive(self) -> bool:
        """Take in what has come; False when the worker has closed its end."""
        data, descriptors, _, _ = socket.recv_fds(
            self._control, _RECEIVE_BYTES, _RECEIVE_DESCRIPTORS
        )
        self._descriptors.extend(descriptors)
        self._text += data
        while (end := self._text.find(b"\n")) >= 0:
            request = json.loads(self._text[:end])
            del self._text[: end + 1]
            self._obey(request)
        return bool(data)

    def _obey(self, request: dict[str, Any]) -> None:
        if request["op"] == "fork":
            self._fork_rank(request)
        elif request["op"] == "rendezvous":
            self._fork_rendezvous(str(request["host"]))
        else:
            raise ValueError(f"unknown request {request['op']!r}")

    def _fork_rank(self, request: dict[str, Any]) -> None:
        out, err = self._descriptors.popleft(), self._descriptors.popleft()
        pid = self._fork()
        if pid == 0:
            self._in_child(lambda: self._start_rank(request, out, err))
        os.close(out)
        os.close(err)
        self._say({"op": "forked", **{k: request[k] for k in ("rank", "generation")}, "pid": pid})

    def _start_rank(self, request: dict[str, Any], out: int, err: int) -> NoReturn:
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.close(out)
        os.close(err)
        os.setsid()
        for path in request["cgroup_procs"]:
            Path(path).write_text(str(os.getpid()))
        os.environ.clear()
        os.environ.update(request["env"])
        # The store is the rendezvous child's, never rank 0's.
        os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "True"
        self._become_rank(os.environ)

    def _fork_rendezvous(self, host: str) -> None:
        """Serve the attempt's store from a child, so that no rank's death takes it down."""
        read_end, write_end = os.pipe()
        pid = self._fork()
        if pid == 0:
            self._in_child(lambda: _serve_store(host, write_end))
        os.close(write_end)
        with os.fdopen(read_end) as answer:
            port = answer.read()
        if not port:
            raise RuntimeError(f"no rendezvous store could be opened on {host}")
        self._say({"op": "rendezvous", "pid": pid, "host": host, "port": int(port)})

    def _fork(self) -> int:
        pid = os.fork()
        if pid:
            self._children.add(pid)
        return pid

    def _in_child(self, body: Callable[[], NoReturn]) -> NoReturn:
        """Cut what ties the child to the zygote, then run its body."""
        parent = os.getppid()
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._control.close()
            os.close(self._wake_read)
            os.close(self._wake_write)
            die_with_parent(parent)
            body()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        os._exit(1)

    def _reap(self) -> None:
        for pid in list(self._children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._children.discard(pid)
                self._say({"op": "exited", "pid": pid, "status": status})

    def _say(self, message: dict[str, Any]) -> None:
        self._control.sendall(json.dumps(message, separators=(",", ":")).encode() + b"\n")


def die_with_parent(parent: int) -> None:
    """Be killed when the parent ends, also when it already has."""
    if _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os._exit(1)


def exec_rank(environ: Mapping[str, str]) -> NoReturn:
    """Be a rank in a new interpreter, which imports everything again."""
    argv = [sys.executable, "-m", "irongrid.train.rank"]
    os.execve(sys.executable, argv, dict(environ))  # noqa: S606, a list of ours and no shell


def threads() -> int:
    """Threads of this process."""
    return len(os.listdir("/proc/self/task"))


def _serve_store(host: str, answer: int) -> NoReturn:
    from irongrid.train.gang import serve_store

    store = serve_store(host)
    with os.fdopen(answer, "w") as out:
        out.write(str(store.port))
    while True:
        signal.pause()


def main() -> None:
    """Become warm, then serve."""
    control = socket.socket(fileno=int(os.environ[DESCRIPTOR_VARIABLE]))
    os.set_inheritable(control.fileno(), False)
    die_with_parent(os.getppid())
    # One thread each, or the libraries start pools that a fork would lose; ranks choose their own.
    # Meshes and DTensors ask torch whether there are GPUs. With these two it says no by itself, and
    # asks neither CUDA nor NVML: no fork survives the one, and the other may leave threads behind.
    # Ranks have the environment of their job, so they look again.
    os.environ.update(
        OMP_NUM_THREADS="1",
        MKL_NUM_THREADS="1",
        OPENBLAS_NUM_THREADS="1",
        PYTORCH_NVML_BASED_CUDA_CHECK="1",
        CUDA_VISIBLE_DEVICES="",
    )
    from irongrid.train import rank, warmup

    warmup.warm()
    gc.collect()
    gc.freeze()
    become_rank = rank.run_and_exit
    if threads() != 1:
        # A fork keeps one thread, whatever locks the others held. Slower, but always right.
        sys.stderr.write(f"irongrid: {threads()} threads after the warm-up; ranks start afresh\n")
        become_rank = exec_rank
    Zygote(control, become_rank).serve()
    os._exit(0)  # As for ranks: torch may abort an orderly exit.


if __name__ == "__main__":
    main()
