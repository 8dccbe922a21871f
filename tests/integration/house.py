"""A home of a test's own, with a real server that can be killed and started again."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.integration.processes import Census, Process, Role, processes

from irongrid.client.api import Client
from irongrid.client.home import Home
from irongrid.domain.job import JobState
from irongrid.domain.messages import EventRow, JobDetail
from irongrid.errors import Unreachable
from irongrid.train.metrics import NAME as METRICS
from irongrid.train.metrics import read_metrics

# For whatever has to happen at all. It may take long on a loaded machine; a test fails only then.
DEADLINE_S = 240.0
POLL_S = 0.02
MOST_RANKS = 4


def until(
    condition: Callable[[], object],
    what: str | Callable[[], str],
    timeout_s: float = DEADLINE_S,
) -> None:
    """Poll until something holds."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            text = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {timeout_s:.0f} s: {text}")
        time.sleep(POLL_S)


class House:
    """A server on a home folder, the jobs in it, and all of their processes.

    Attributes:
        store: URL of the store; empty is the SQLite file of the home.
        environment: variables of the server's, and so of its workers'.
    """

    def __init__(
        self,
        folder: Path,
        *,
        nodes: str = "1x2",
        store: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.home = Home(folder)
        self.nodes = nodes
        self.store = store
        self.environment = dict(environment or {})
        self.server: subprocess.Popen[bytes] | None = None
        self.census = Census(folder, MOST_RANKS)
        self._client: Client | None = None
        folder.mkdir(exist_ok=True, mode=0o700)

    # ---- the server ---------------------------------------------------------------------------

    def start(self) -> subprocess.Popen[bytes]:
        """Start a server, without waiting for it."""
        argv = [sys.executable, "-m", "irongrid.cli.main", "up", "--nodes", self.nodes]
        argv += ["--store", self.store] if self.store else []
        with self.home.server_log.open("ab") as log:
            return subprocess.Popen(
                argv,
                env=self._environ(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def up(self) -> None:
        """Start the server and wait until it answers."""
        assert self.server is None, "one server at a time"
        server = self.server = self.start()

        def answers() -> bool:
            assert server.poll() is None, self.server_log()
            holder = self.home.holder()
            return holder is not None and holder.pid == server.pid and bool(holder.address)

        until(answers, lambda: f"the server answers:\n{self.server_log()}")
        self._client = Client.from_home(self.home)
        until(self._client.healthy, "the server is healthy")

    def kill_server(self) -> None:
        """SIGKILL."""
        assert self.server is not None
        self._hang_up()
        self.server.kill()
        self.server.wait()
        self.server = None

    def stop_server(self) -> int:
        """An orderly stop; jobs go on. The exit code."""
        assert self.server is not None
        self._hang_up()
        self.server.send_signal(signal.SIGCONT)
        self.server.terminate()
        code = self.server.wait(timeout=DEADLINE_S)
        self.server = None
        return code

    @property
    def client(self) -> Client:
        """Access to the server that is up."""
        assert self._client is not None, "no server is up"
        return self._client

    def run_cli(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `irongrid` with these words."""
        return subprocess.run(
            [sys.executable, "-m", "irongrid.cli.main", *words],
            env=self._environ() | {"COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            stdin=subprocess.DEVNULL,
        )

    def cli(self, *words: str, code: int = 0) -> str:
        """What `irongrid` prints; it must end with this exit code."""
        done = self.run_cli(*words)
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def answer(self, *words: str, code: int = 0) -> Any:
        """What `irongrid ... --json` answers."""
        return json.loads(self.cli(*words, "--json", code=code).splitlines()[-1])

    def server_log(self) -> str:
        """The end of what servers have written."""
        return _tail(self.home.server_log)

    # ---- jobs ---------------------------------------------------------------------------------

    def submit(self, job: Mapping[str, Any]) -> str:
        """Hand in a job; its id."""
        return self.client.submit(job).job_id

    def job(self, job: str) -> JobDetail:
        """Everything about a job."""
        return self.client.job(job)

    def reaches(self, job: str, *states: str, timeout_s: float = DEADLINE_S) -> JobDetail:
        """Wait until a job is in one of these states. One that ends otherwise fails the test."""
        found: list[JobDetail] = []

        def reached() -> bool:
            try:
                found[:] = [self.job(job)]
            except Unreachable:
                return False  # Too busy to answer; the deadline decides.
            state = found[0].row.state
            wrong = JobState(state).final and state not in states
            assert not wrong, f"{job} is {state}: {found[0].ended_because}\n{found[0].failure}"
            return state in states

        until(reached, lambda: f"{job} is {' or '.join(states)}: {found}", timeout_s)
        return found[0]

    def events(self, job: str, *kinds: str) -> list[EventRow]:
        """A job's events of these kinds, or all of them."""
        rows = self.client.all_events(job=job)
        return [row for row in rows if not kinds or row.kind in kinds]

    def wait_event(self, job: str, kind: str, **fields: object) -> EventRow:
        """The first event of a kind whose body has these fields, as soon as there is one."""
        found: list[EventRow] = []

        def there() -> bool:
            found[:] = [row for row in self.events(job, kind) if fields.items() <= row.body.items()]
            return bool(found)

        until(there, lambda: f"{kind} {fields} in {[r.kind for r in self.events(job)]}")
        return found[0]

    def job_dir(self, job: str) -> Path:
        """The folder of a job."""
        return self.home.job_dir(job)

    def losses(self, job: str) -> list[tuple[int, float]]:
        """Step and loss of each line that the ranks have written so far."""
        with contextlib.suppress(OSError, ValueError):  # Not there yet, or just being written.
            lines = read_metrics(self.job_dir(job) / METRICS)
            return [(int(line["step"]), line["loss"]) for line in lines]
        return []

    def step(self, job: str) -> int:
        """The last step of a training job, as its ranks wrote it."""
        losses = self.losses(job)
        return losses[-1][0] if losses else 0

    def wait_step(self, job: str, step: int) -> int:
        """Wait until training has done this step; the step that it has done."""
        until(lambda: self.step(job) >= step, lambda: f"step {step} of {job}: {self.show(job)}")
        return self.step(job)

    def halt(self, job: str, step: int) -> tuple[int, int]:
        """Let training do this step, then have all ranks stand still: what comes next is exact.

        Returns:
            The last step that was done, and the step of the newest checkpoint on disk.
        """
        self.wait_step(job, step)
        freeze(*self.ranks(job))
        return self.step(job), self.checkpoints(job)[-1][1]

    def checkpoints(self, job: str) -> list[tuple[int, int]]:
        """(epoch, step) of each complete checkpoint on disk, oldest first."""
        found = self.job_dir(job).glob("checkpoints/epoch-*/step-*/manifest.json")
        numbers = [(path.parts[-3], path.parts[-2]) for path in found]
        return sorted((int(e.partition("-")[2]), int(s.partition("-")[2])) for e, s in numbers)

    def wait_checkpoint(self, job: str, step: int) -> None:
        """Wait until the log holds a checkpoint of this step or a later one."""

        def saved() -> bool:
            checkpoint = self.job(job).checkpoint
            return checkpoint is not None and checkpoint.step >= step

        until(saved, lambda: f"a checkpoint of step {step}: {self.show(job)}")

    def show(self, job: str) -> str:
        """What to say of a job when it is not as it should be."""
        return f"{self.job(job)}\n{self.logs(job)}"

    # ---- processes ----------------------------------------------------------------------------

    def processes(self, job: str = "", role: Role | None = None) -> list[Process]:
        """Living processes of a job, or of all of them."""
        return [
            process
            for process in processes(self.home.path)
            if job in ("", process.job) and role in (None, process.role)
        ]

    def ranks(self, job: str) -> list[Process]:
        """A job's ranks, node by node, in their order."""
        found = self.processes(job, Role.RANK)
        return sorted(found, key=lambda rank: (rank.node, rank.start_ticks, rank.pid))

    def wait_ranks(self, job: str, count: int) -> list[Process]:
        """A job's ranks, once so many exist."""
        until(lambda: len(self.ranks(job)) == count, lambda: f"{count} ranks: {self.ranks(job)}")
        return self.ranks(job)

    def worker(self, job: str, node: str = "n0") -> Process:
        """The job's worker on a node."""
        found = [each for each in self.processes(job, Role.WORKER) if each.node == node]
        assert len(found) == 1, f"workers of {job} on {node}: {found}"
        return found[0]

    def wait_gone(self, job: str = "") -> None:
        """Wait until nothing of a job, or of any, is left."""
        until(lambda: not self.processes(job), lambda: f"all is gone: {self.processes(job)}")

    # ---- the end ------------------------------------------------------------------------------

    def tear_down(self) -> None:
        """Kill everything and leave nothing, whatever the test has left behind."""
        self._hang_up()
        if self.server is not None:
            self.server.kill()
            self.server.wait()

        def emptied() -> bool:
            found = self.processes()
            for process in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            return not found

        until(emptied, lambda: f"nothing is left: {self.processes()}")
        self.census.stop()
        shutil.rmtree(self.home.path)

    def logs(self, job: str = "") -> str:
        """The ends of all logs of a job, or of all jobs."""
        pattern = f"jobs/{job or '*'}/attempt-*"
        paths = [*self.home.path.glob(f"{pattern}/*/worker.log")]
        paths += self.home.path.glob(f"{pattern}/rank-*.log")
        return "\n".join(f"== {path}\n{_tail(path)}" for path in sorted(paths))

    def _environ(self) -> dict[str, str]:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("IRONGRID_")}
        return kept | self.environment | {"IRONGRID_HOME": str(self.home.path)}

    def _hang_up(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def kill(*killed: Process) -> None:
    """SIGKILL, to those that have not ended by themselves."""
    for process in killed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def freeze(*frozen: Process) -> None:
    """SIGSTOP, and wait until they stand still."""
    for process in frozen:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGSTOP)
    until(lambda: all(process.stands_still for process in frozen), f"a stop of {frozen}")


def thaw(*frozen: Process) -> None:
    """SIGCONT."""
    for process in frozen:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)


def _tail(path: Path, lines: int = 40) -> str:
    if not path.exists():
        return "(nothing)"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
