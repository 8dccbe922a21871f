"""The same training twice: by torchrun and a bare script, and by a server of ours."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from irongrid.client.api import Client
from irongrid.client.home import Home
from irongrid.errors import Unreachable

BARE = Path(__file__).with_name("bare.py")
RANKS = 2
DEADLINE_S = 120.0
_POLL_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What both train.

    Attributes:
        save_every: steps between two checkpoints; 0 is never before the end.
    """

    preset: str = "llama-1m"
    global_batch: int = 16
    seq_len: int = 128
    steps: int = 1_000_000
    save_every: int = 0


class Gang(Protocol):
    """A running training whose steps are lines of a file, each with the time it was done."""

    began_s: float
    steps_file: Path

    def processes(self) -> list[psutil.Process]:
        """Everything that belongs to this side, the orchestrator included."""

    def ranks(self) -> list[psutil.Process]:
        """The ranks, lowest first."""

    def close(self) -> None:
        """End it all."""


class Torchrun:
    """`torchrun bare.py`, restarting its ranks after a failure."""

    def __init__(self, folder: Path, cache: Path, work: Workload) -> None:
        folder.mkdir(parents=True)
        self.steps_file = folder / "steps.jsonl"
        argv = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={RANKS}"]
        argv += [f"--master-port={free_port()}", "--max-restarts=100", "--monitor-interval=0.1"]
        argv += [str(BARE), "--out", str(folder), "--cache", str(cache)]
        argv += ["--preset", work.preset, "--global-batch", str(work.global_batch)]
        argv += ["--seq-len", str(work.seq_len), "--steps", str(work.steps)]
        argv += ["--save-every", str(work.save_every)]
        self.began_s = time.time()
        with (folder / "log").open("wb") as log:
            self._agent = psutil.Popen(
                argv,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def processes(self) -> list[psutil.Process]:
        """The agent and its ranks."""
        return [psutil.Process(self._agent.pid), *self.ranks()]

    def ranks(self) -> list[psutil.Process]:
        """Children that run the script."""
        return _by_rank(
            child
            for child in psutil.Process(self._agent.pid).children()
            if str(BARE) in _command(child)
        )

    def close(self) -> None:
        """Kill the agent and its ranks; once is enough."""
        if self._agent.is_running():
            end(self.processes())
            self._agent.wait()


class Server:
    """A server of ours on a home of its own, with a node of two devices."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder)
        folder.mkdir(parents=True)
        with (folder / "log").open("wb") as log:
            self.process = psutil.Popen(
                [sys.executable, "-m", "irongrid.cli.main", "up", "--nodes", f"1x{RANKS}"],
                env={**os.environ, "IRONGRID_HOME": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for(self._serves, "a server that answers")

    @property
    def cache(self) -> Path:
        """Tokenised data."""
        return self.home.path / "cache"

    def close(self) -> None:
        """Kill the server and everything below it."""
        end([psutil.Process(self.process.pid), *self.process.children(recursive=True)])
        self.process.wait()

    def _serves(self) -> bool:
        try:
            with Client.from_home(self.home) as client:
                return client.healthy()
        except Unreachable:
            return False


class Submitted:
    """The same training as a job, handed in by the command line as a person does."""

    def __init__(self, server: Server, work: Workload) -> None:
        self._server = server
        job = {
            "train": {
                "model": {"preset": work.preset},
                "data": {"path": "stdlib"},
                "global_batch": work.global_batch,
                "seq_len": work.seq_len,
                "steps": work.steps,
                "eval": {"every": 0, "fraction": 0.01},
            },
            "resources": {"count": RANKS},
            "checkpoint": {"every": work.save_every or work.steps},
            "retries": {"max": 100},
        }
        path = server.home.path / "job.json"
        path.write_text(json.dumps(job))
        self.began_s = time.time()
        said = subprocess.run(
            [sys.executable, "-m", "irongrid.cli.main", "submit", str(path), "--json"],
            env={**os.environ, "IRONGRID_HOME": str(server.home.path)},
            check=True,
            capture_output=True,
            text=True,
        )
        self.job = str(json.loads(said.stdout.splitlines()[-1])["job_id"])
        self.steps_file = server.home.job_dir(self.job) / "metrics.jsonl"

    def processes(self) -> list[psutil.Process]:
        """Server, workers, and all below them."""
        server = psutil.Process(self._server.process.pid)
        return [server, *server.children(recursive=True)]

    def orchestrators(self) -> list[psutil.Process]:
        """Server and workers, without the ranks and what they are forked from."""
        server = psutil.Process(self._server.process.pid)
        return [
            server,
            *(child for child in server.children() if "irongrid.worker" in _command(child)),
        ]

    def ranks(self) -> list[psutil.Process]:
        """What zygotes have forked; only ranks lead a session of their own."""
        zygotes = [p for p in self.processes() if "irongrid.train.zygote" in _command(p)]
        pids = {zygote.pid for zygote in zygotes}
        return _by_rank(p for p in zygotes if p.ppid() in pids and os.getsid(p.pid) == p.pid)

    def close(self) -> None:
        """Cancel the job and wait until nothing of it is left."""
        with Client.from_home(self._server.home) as client:
            client.cancel(self.job)
            wait_for(
                lambda: client.job(self.job).row.state == "cancelled", f"the end of {self.job}"
            )


def steps_of(gang: Gang) -> list[tuple[int, float]]:
    """Every step in the file and when it was done, in seconds since 1970."""
    if not gang.steps_file.exists():
        return []
    lines = [line for line in gang.steps_file.read_text().splitlines() if line.endswith("}")]
    return [(line["step"], line["at_ns"] / 1e9) for line in map(json.loads, lines)]


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Poll until it holds."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not within {DEADLINE_S:.0f} s: {what}")
        time.sleep(_POLL_S)


def end(processes: list[psutil.Process]) -> None:
    """Kill these, whatever they are doing."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # It ended by itself.
            process.kill()


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def signal_all(processes: list[psutil.Process], number: signal.Signals) -> None:
    """Send one signal to each."""
    for process in processes:
        process.send_signal(number)


def _by_rank(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Both sides start their ranks in order."""
    return sorted(processes, key=lambda process: process.pid)


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.NoSuchProcess:
        return []
