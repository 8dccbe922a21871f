"""A real server in a process of its own, and plain HTTP to talk to it."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from irongrid.domain.ids import JobId
from irongrid.server.tokens import Tokens

# For whatever has to happen at all. It may take long on a busy machine; a test fails only then.
DEADLINE_S = 90.0
_SERVE = """
import json, sys
from pathlib import Path
from irongrid.errors import IrongridError
from irongrid.server.main import serve
from irongrid.server.options import ServerOptions
options = json.loads(sys.argv[1])
for name in ("home", "tls_cert", "tls_key", "log_path"):
    if name in options:
        options[name] = Path(options[name])
try:
    sys.exit(serve(ServerOptions(**options)))
except IrongridError as problem:
    sys.exit(f"irongrid: {problem}")
"""


@dataclass
class Answer:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Running:
    """A server process on a home folder."""

    home: Path
    process: subprocess.Popen[str]
    connection: http.client.HTTPConnection | None = field(default=None, repr=False)

    @property
    def port(self) -> int:
        return int((self.home / "address").read_text().rsplit(":", 1)[1])

    @property
    def token(self) -> str:
        return (self.home / "token").read_text().strip()

    def attempt_token(self, job: str, epoch: int) -> str:
        secret = (self.home / "secret").read_text().strip().encode()
        return Tokens(self.token, secret).for_attempt(JobId(job), epoch)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = "user",
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Answer:
        """One request. `token`: "user" is the home's, None sends none."""
        sent = {"host": f"127.0.0.1:{self.port}", **(headers or {})}
        if token is not None:
            sent["authorization"] = f"Bearer {self.token if token == 'user' else token}"
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        for fresh in (False, True):
            if self.connection is None:
                self.connection = http.client.HTTPConnection(
                    "127.0.0.1", self.port, timeout=DEADLINE_S
                )
            try:
                self.connection.request(method, path, data, sent)
                answer = self.connection.getresponse()
                found = dict(answer.getheaders())
                return Answer(answer.status, found, answer.read())
            except (http.client.HTTPException, OSError):
                self.connection.close()
                self.connection = None
                if fresh:
                    raise
        raise AssertionError("unreachable")

    def submit(self, run: str = "true", key: str = "", **more: Any) -> str:
        """Hand in a job; its id."""
        job = {"run": run, "workdir": "/tmp", **more}
        answer = self.call("POST", "/v1/jobs", {"job": job, "key": key or os.urandom(8).hex()})
        assert answer.status == 201, answer.body
        return str(answer.json["job_id"])

    def job(self, job: str) -> Any:
        answer = self.call("GET", f"/v1/jobs/{job}")
        assert answer.status == 200, (answer.body, (self.home / "stderr").read_text())
        return answer.json

    def wait_state(self, job: str, *states: str, timeout_s: float = DEADLINE_S) -> Any:
        """Wait until the job is in one of these states; its detail."""
        last: dict[str, Any] = {}

        def reached() -> bool:
            last.update(self.job(job))
            return last["row"]["state"] in states

        wait_until(reached, timeout_s, lambda: f"{job} is {last}, not {states}")
        return last

    def processor_time_s(self) -> float:
        """What all of its threads have used so far."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> int:
        """An orderly stop; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=DEADLINE_S)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=DEADLINE_S)


def wait_until(
    done: Callable[[], bool],
    timeout_s: float = DEADLINE_S,
    say: Callable[[], str] = lambda: "not yet",
) -> None:
    """Poll until something holds."""
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, say()
        time.sleep(0.02)


Start = Callable[..., Running]


@pytest.fixture(scope="session")
def starter() -> Iterator[Start]:
    """Starts servers; stops those that are left in the end."""
    running: list[Running] = []

    def start(
        home: Path, *, ready: bool = True, argv: tuple[str, ...] = (), **options: Any
    ) -> Running:
        options = {"nodes": "1x2", **options, "home": str(home)}
        command = [*argv, sys.executable, "-c", _SERVE, json.dumps(options)]
        home.mkdir(parents=True, exist_ok=True)
        with (home / "stderr").open("w") as stderr:
            process = subprocess.Popen(command, stderr=stderr, text=True)
        server = Running(home, process)
        running.append(server)

        def up() -> bool:
            if process.poll() is not None:
                raise AssertionError((home / "stderr").read_text())
            pid_line = (home / "lock").read_text() if (home / "lock").exists() else ""
            return f'"pid": {process.pid},' in pid_line and "http" in pid_line

        if ready:
            wait_until(up, say=lambda: (home / "stderr").read_text())
        return server

    yield start
    for server in running:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


@pytest.fixture
def start(starter: Start) -> Start:
    """Start a server on a home folder: `start(home, nodes="1x2", ...)`."""
    return starter


@pytest.fixture(scope="session")
def server(starter: Start, tmp_path_factory: pytest.TempPathFactory) -> Running:
    """One server for tests that need nothing special of it."""
    return starter(tmp_path_factory.mktemp("home"), long_poll_s=0.5)
