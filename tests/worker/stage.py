"""A real worker against a small scripted server: no mocks, real processes, real sockets."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from irongrid.domain.codec import from_json, to_json
from irongrid.domain.device import NodeShare, Placement
from irongrid.domain.event import WorkerFact
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.job import JobSpec, RunTask
from irongrid.domain.messages import (
    Directive,
    ErrorBody,
    LaunchOrder,
    ReportAnswer,
    WorkerReport,
)
from irongrid.telemetry import procfs

JOB, NODE = JobId("j000001"), NodeId("n0")
TOKEN = "a-token-of-the-attempt"
# For whatever has to happen at all. It may take long on a busy machine; a test fails only then.
DEADLINE_S = 90.0
HOLD = Directive(version=1, action="hold", generation=1, rendezvous="")


def until(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Poll until the condition gives something; fail with `what` after the deadline."""
    end_s = time.monotonic() + deadline_s
    while time.monotonic() < end_s:
        if found := condition():
            return found
        time.sleep(0.005)
    pytest.fail(f"waited {deadline_s} s in vain for {what}")


class ScriptedServer:
    """Speaks the worker protocol. The test sets directives and reads facts."""

    def __init__(self, address_file: Path) -> None:
        self._address_file = address_file
        self._changed = threading.Condition()
        self._directive = HOLD
        self._http: ThreadingHTTPServer | None = None
        self._connections: list[Any] = []
        self.fenced = False
        self.garbage = False
        self.largest_body_bytes = 0
        self.requests: list[str] = []
        self.facts: list[WorkerFact] = []
        self.heard_at_s: dict[int, float] = {}
        self.reports: list[WorkerReport] = []
        self.authorizations: set[str] = set()

    def up(self) -> None:
        """Listen on a port that no server before had, and say where."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                query = parse_qs(urlsplit(self.path).query)
                assert query["node"]
                self._answer(lambda: server._poll(int(query["version"][0])))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.largest_body_bytes = max(server.largest_body_bytes, len(body))
                report = from_json(WorkerReport, json.loads(body))
                self._answer(lambda: server._take(report))

            def _answer(self, work: Callable[[], Any]) -> None:
                server.authorizations.add(self.headers["Authorization"])
                server.requests.append(self.path)
                if server.garbage:
                    self.send_error(409, "this is another program")
                    return
                if server.fenced:
                    status, value = (
                        409,
                        to_json(ErrorBody(code="fenced", problem="epoch 1 is over")),
                    )
                else:
                    status, value = 200, to_json(work())
                content = json.dumps(value).encode()
                with contextlib.suppress(ConnectionError):  # The worker has gone meanwhile.
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        accept = self._http.get_request

        def remember() -> Any:
            connection = accept()
            self._connections.append(connection[0])
            return connection

        self._http.get_request = remember  # type: ignore[method-assign]
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        self._address_file.write_text(f"http://127.0.0.1:{self._http.server_address[1]}\n")

    def down(self) -> None:
        """Stop listening and cut every connection."""
        if self._http is None:
            return
        self._http.shutdown()
        self._http.server_close()
        for connection in self._connections:
            try:
                connection.shutdown(2)
            except OSError:
                continue
        self._http = None

    @property
    def directive(self) -> Directive:
        """What workers are told now."""
        return self._directive

    @property
    def connected(self) -> int:
        """Connections that were ever made."""
        return len(self._connections)

    def direct(self, action: str, generation: int = 1, **fields: Any) -> None:
        """Change the directive."""
        with self._changed:
            self._directive = replace(
                self._directive,
                version=self._directive.version + 1,
                action=action,
                generation=generation,
                **fields,
            )
            self._changed.notify_all()

    def wait(self, kind: type[Any], deadline_s: float = DEADLINE_S, after: int = 0) -> Any:
        """The first fact of a kind with a number above `after`."""

        def found() -> WorkerFact | None:
            facts = [fact for fact in self.facts if isinstance(fact, kind) and fact.n > after]
            return facts[0] if facts else None

        return until(found, f"{kind.__name__}; facts are {self.facts}", deadline_s)

    def _take(self, report: WorkerReport) -> ReportAnswer:
        with self._changed:
            known = self.facts[-1].n if self.facts else 0
            for fact in report.facts:
                if fact.n > known:
                    self.facts.append(fact)
                    self.heard_at_s[fact.n] = time.monotonic()
            self.reports.append(report)
            accepted = self.facts[-1].n if self.facts else 0
            return ReportAnswer(accepted_n=accepted, directive=self._directive)

    def _poll(self, version: int) -> Directive:
        with self._changed:
            self._changed.wait_for(lambda: self._directive.version > version, timeout=20)
            return self._directive


class Worker:
    """A worker process and what belongs to it."""

    def __init__(self, process: subprocess.Popen[bytes], order: LaunchOrder) -> None:
        self.process = process
        self.order = order
        self.mark = (order.job_dir, f"{order.job}.{order.epoch}", order.node)

    @property
    def folder(self) -> Path:
        return Path(self.order.job_dir) / f"attempt-{self.order.epoch}"

    def log(self, rank: int = 0) -> str:
        path = self.folder / f"rank-{rank}.log"
        return path.read_text() if path.exists() else ""

    def journal(self) -> str:
        return (self.folder / self.order.node / "worker.log").read_text()

    def others(self) -> set[int]:
        """Living processes of the attempt, without the worker itself."""
        return procfs.marked().get(self.mark, set()) - {self.process.pid}

    def wait(self, deadline_s: float = DEADLINE_S) -> int:
        return self.process.wait(deadline_s)


def run_spec(workdir: Path, *argv: str, **fields: Any) -> JobSpec:
    """A job that runs a command with this interpreter leading PATH."""
    task = RunTask(argv=argv)
    spec = JobSpec(name="test", task=task, workdir=str(workdir), interpreter=sys.executable)
    return replace(spec, **fields)


def order_for(home: Path, spec: JobSpec, ranks: int = 1, **fields: Any) -> LaunchOrder:
    """An order for one node, in the layout of a home folder."""
    order = LaunchOrder(
        job=JOB,
        epoch=1,
        node=NODE,
        placement=Placement(shares=(NodeShare(node=NODE, devices=tuple(range(ranks))),)),
        spec=spec,
        token=TOKEN,
        address_file=str(home / "address"),
        job_dir=str(home / "jobs" / JOB),
        cache_dir=str(home / "cache"),
        lease_s=None,
        environment={},
    )
    return replace(order, **fields)


def start_worker(order: LaunchOrder, inherited: dict[str, str]) -> Worker:
    """Start a worker as the local engine does."""
    folder = Path(order.job_dir) / f"attempt-{order.epoch}" / order.node
    folder.mkdir(parents=True, exist_ok=True)
    mark = (order.job_dir, f"{order.job}.{order.epoch}", order.node)
    environment = os.environ | dict(zip(procfs.MARK_VARIABLES, mark, strict=True)) | inherited
    with (folder / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "irongrid.worker"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
    assert process.stdin is not None
    process.stdin.write(json.dumps(to_json(order)).encode())
    process.stdin.close()
    return Worker(process, order)
