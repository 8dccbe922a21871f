"""Real gangs for tests: ranks forked from one warm zygote, so that a start takes milliseconds."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from irongrid.domain.codec import to_json
from irongrid.domain.job import CheckpointPolicy, TrainTask
from irongrid.domain.model import ModelShape
from irongrid.train.config import TrainConfig
from irongrid.train.metrics import read_metrics

TINY = ModelShape(layers=2, hidden=32, heads=4, kv_heads=2, ffn=64, vocab=300)
# For whatever has to happen at all. It may take long on a busy machine; a test fails only then.
DEADLINE_S = 180.0


@dataclass
class Job:
    """A small training job in a folder of its own; `with_` changes the task."""

    folder: Path
    corpus: Path
    cache: Path
    checkpoint: CheckpointPolicy = field(default_factory=lambda: CheckpointPolicy(every_steps=4))
    task: TrainTask = field(init=False)

    def __post_init__(self) -> None:
        self.task = TrainTask(
            model=TINY,
            data=(str(self.corpus),),
            global_batch=8,
            seq_len=32,
            steps=12,
            eval_every=6,
            eval_fraction=0.05,
            learning_rate=3e-3,
        )

    def with_(self, **changes: Any) -> "Job":
        """This job with another task."""
        self.task = replace(self.task, **changes)
        return self

    def config(self, *, epoch: int = 1, generation: int = 1) -> TrainConfig:
        """What its ranks are told."""
        return TrainConfig(
            task=self.task,
            checkpoint=self.checkpoint,
            job="j000001",
            epoch=epoch,
            generation=generation,
            job_dir=str(self.folder),
            cache_dir=str(self.cache),
            workdir=str(self.folder.parent),
        )

    def metrics(self) -> list[dict[str, float]]:
        """Lines of metrics.jsonl, without the ones that are still being written."""
        path = self.folder / "metrics.jsonl"
        return read_metrics(path) if path.exists() else []

    def losses(self) -> list[float]:
        """The loss of each step, in order."""
        return [line["loss"] for line in self.metrics()]

    @property
    def checkpoints(self) -> Path:
        """Where its checkpoints are."""
        return self.folder / "checkpoints"


def environment(
    config: TrainConfig, rank: int, world_size: int, host: str, port: int
) -> dict[str, str]:
    """The environment of a rank, as a worker makes it."""
    keep = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return keep | {
        "IRONGRID_TRAIN": json.dumps(to_json(config)),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world_size),
        "LOCAL_WORLD_SIZE": str(world_size),
        "MASTER_ADDR": host,
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }


class Listener:
    """The worker's end of the session: keeps what ranks say, and tells them things."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.messages: list[dict[str, Any]] = []
        self._ranks: list[socket.socket] = []
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(str(path))
        self._server.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def environment(self) -> dict[str, str]:
        """What leads ranks here."""
        return {"IRONGRID_SOCKET": str(self.path)}

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send the same line to every rank."""
        for rank in self._ranks:
            rank.sendall(json.dumps(message).encode() + b"\n")

    def heard(self, kind: str) -> list[dict[str, Any]]:
        """Messages of one kind, in the order in which they came."""
        return [message for message in list(self.messages) if message["t"] == kind]

    def close(self) -> None:
        """Stop listening."""
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # Closed by the test.
            while True:
                rank, _ = self._server.accept()
                self._ranks.append(rank)
                threading.Thread(target=self._read, args=(rank,), daemon=True).start()

    def _read(self, rank: socket.socket) -> None:
        with contextlib.suppress(OSError), rank.makefile("r") as lines:  # A killed rank resets.
            for line in lines:
                self.messages.append(json.loads(line))


class Nest:
    """A zygote under test, driven as its worker drives it."""

    def __init__(self, log: Path, argv: Sequence[str] = ("-m", "irongrid.train.zygote")) -> None:
        self.control, theirs = socket.socketpair()
        self.log = log
        self._text = bytearray()
        self._exited: dict[int, int] = {}
        self._stores: dict[tuple[Path, int], tuple[str, int]] = {}
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, *argv],
                env=os.environ | {"IRONGRID_ZYGOTE_FD": str(theirs.fileno())},
                pass_fds=[theirs.fileno()],
                stdout=out,
                stderr=out,
            )
        theirs.close()
        self.expect("ready")

    def say(self, message: Mapping[str, Any], descriptors: tuple[int, ...] = ()) -> None:
        """Send a request."""
        socket.send_fds(self.control, [json.dumps(message).encode() + b"\n"], list(descriptors))

    def expect(self, op: str) -> dict[str, Any]:
        """The next message of this kind; ends of processes are remembered on the way."""
        while True:
            message = self._next()
            if message["op"] == "exited":
                self._exited[message["pid"]] = message["status"]
            if message["op"] == op:
                return message

    def start(
        self,
        job: Job,
        ranks: int,
        *,
        epoch: int = 1,
        generation: int = 1,
        extra: Mapping[str, str] | None = None,
    ) -> list[int]:
        """Fork a gang; the processes by rank."""
        host, port = self._rendezvous(job, epoch)
        config = job.config(epoch=epoch, generation=generation)
        pids = []
        for rank in range(ranks):
            values = environment(config, rank, ranks, host, port)
            with self.log.open("ab") as out:
                request = {"op": "fork", "rank": rank, "generation": generation}
                request |= {"env": values | dict(extra or {}), "cgroup_procs": []}
                self.say(request, (out.fileno(), out.fileno()))
            pids.append(int(self.expect("forked")["pid"]))
        return pids

    def wait(self, pids: list[int]) -> list[int]:
        """Exit codes of these processes; a signal is negative."""
        while any(pid not in self._exited for pid in pids):
            self.expect("exited")
        return [os.waitstatus_to_exitcode(self._exited[pid]) for pid in pids]

    def ended(self) -> set[int]:
        """Processes whose end the zygote has told so far."""
        while select.select([self.control], [], [], 0)[0]:
            self.expect("exited")
        return set(self._exited)

    def run(self, job: Job, ranks: int, **options: Any) -> list[int]:
        """Fork a gang and wait for its end."""
        return self.wait(self.start(job, ranks, **options))

    def output(self) -> str:
        """All that ranks have said."""
        return self.log.read_text()

    def close(self) -> None:
        """Close the worker's end; the zygote ends by itself."""
        self.control.close()
        self.process.wait(DEADLINE_S)

    def _rendezvous(self, job: Job, epoch: int) -> tuple[str, int]:
        """The store of an attempt, opened for its first generation."""
        attempt = (job.folder, epoch)
        if attempt not in self._stores:
            self.say({"op": "rendezvous", "host": "127.0.0.1"})
            answer = self.expect("rendezvous")
            self._stores[attempt] = (answer["host"], answer["port"])
        return self._stores[attempt]

    def _next(self) -> dict[str, Any]:
        while (end := self._text.find(b"\n")) < 0:
            readable, _, _ = select.select([self.control], [], [], DEADLINE_S)
            assert readable, f"the zygote is silent:\n{self.output()[-3000:]}"
            data = self.control.recv(65536)
            assert data, f"the zygote has ended:\n{self.output()[-3000:]}"
            self._text += data
        message: dict[str, Any] = json.loads(self._text[:end])
        del self._text[: end + 1]
        return message


def until(condition: Callable[[], bool], what: str) -> None:
    """Poll until it holds."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {DEADLINE_S:.0f} s: {what}"
        time.sleep(0.005)


def kill(pids: list[int]) -> None:
    """SIGKILL to all at one moment, so that none can see another one's end first."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            os.kill(pid, number)


def fill(path: Path) -> None:
    """Write to the end of a file until the disk takes no more."""

    def pour() -> None:
        while True:
            out.write(bytes(4096))

    with path.open("ab", buffering=0) as out, pytest.raises(OSError, match="No space left"):
        pour()
