"""What a worker says to the server and hears from it.

On the standard library's HTTP client: a worker's start delays the first step of its job, and
`http.client` is imported in a third of the time of `httpx2` (33 ms against 90 ms on two shared
cores). Each thread has a client of its own, so that one connection stays open per thread.
"""

import http.client
import json
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from irongrid.client.home import CA_FILE
from irongrid.client.tls import trust
from irongrid.domain.codec import from_json, to_json
from irongrid.domain.ids import NodeId
from irongrid.domain.messages import Directive, ErrorBody, ReportAnswer, WorkerReport
from irongrid.errors import CodecError, Fenced, Unreachable

T = TypeVar("T")

LONG_POLL_S = 20.0
_ANSWER_S = 10.0
_MAX_BODY_BYTES = 2**20


class WorkerClient:
    """One connection to whichever server the address file names. For one thread only."""

    def __init__(self, address_file: Path, token: str) -> None:
        self._address_file = address_file
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._connection: http.client.HTTPConnection | None = None

    def report(self, report: WorkerReport) -> ReportAnswer:
        """Send a beat and facts.

        Raises:
            Fenced: the attempt is over.
            Unreachable: no answer that counts; repeating is safe.
        """
        body = json.dumps(to_json(report), separators=(",", ":")).encode()
        return self._ask(ReportAnswer, "POST", "/v1/worker/report", body, _ANSWER_S)

    def directive(self, node: NodeId, version: int) -> Directive:
        """Wait for a directive above `version`, or for the end of the long poll.

        Raises:
            Fenced: the attempt is over.
            Unreachable: no answer that counts; repeating is safe.
        """
        path = f"/v1/worker/directive?node={quote(node, safe='')}&version={version}"
        return self._ask(Directive, "GET", path, None, LONG_POLL_S + _ANSWER_S)

    def close(self) -> None:
        """Drop the connection; the next call reads the address again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(
        self, target: type[T], method: str, path: str, body: bytes | None, timeout_s: float
    ) -> T:
        try:
            connection = self._connection or self._connect(timeout_s)
            connection.request(method, path, body, self._headers)
            answer = connection.getresponse()
            content = answer.read(_MAX_BODY_BYTES)
            return _read(target, answer.status, content)
        except (OSError, http.client.HTTPException, ValueError, CodecError) as problem:
            # A server that has restarted leaves its old port to anybody, so an answer that makes no
            # sense is no answer: only a well-formed one of ours may stop ranks.
            self.close()
            target_name = str(self._address_file)
            raise Unreachable(target_name, f"{type(problem).__name__}: {problem}") from problem

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        address = urlsplit(self._address_file.read_text().strip())
        if address.hostname is None:
            raise ValueError("the address file names no server")
        host, port = address.hostname, address.port
        if address.scheme == "https":
            context = trust(self._address_file.with_name(CA_FILE))
            self._connection = http.client.HTTPSConnection(
                host, port, timeout=timeout_s, context=context
            )
        else:
            self._connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
        return self._connection


def _read(target: type[T], status: int, content: bytes) -> T:
    value: Any = json.loads(content)
    if status == 200:
        return from_json(target, value)
    error = from_json(ErrorBody, value)
    if status == 409 and error.code == "fenced":
        raise Fenced(error.code, error.problem, error.fix)
    raise ValueError(f"status {status}: {error.problem}")
