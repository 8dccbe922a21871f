"""The user's HTTP API as Python: one method per path, dataclasses of the domain in and out.

Answers that are not a success become errors of ours (`errors_of_answers`). No answer becomes
`Unreachable`. Streams survive a restart of the server: they ask again from the last thing that
they have seen, at the address that the home names by then.
"""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx2

from irongrid.client.answers import raise_for_answer, read
from irongrid.client.home import CA_FILE, START_ONE, Home
from irongrid.client.tls import trust
from irongrid.domain.codec import to_json
from irongrid.domain.ids import split_attempt_id
from irongrid.domain.job import JobState
from irongrid.domain.messages import (
    DrainRequest,
    EventPage,
    EventRow,
    JobDetail,
    JobPage,
    JobRow,
    LogChunk,
    NodeDetail,
    Reason,
    ServerStatus,
    ShutdownRequest,
    SubmitRequest,
    Submitted,
)
from irongrid.errors import Unreachable

T = TypeVar("T")
Query = dict[str, str | int]
OnLost = Callable[[Unreachable], None]

CONNECT_S = 3.0
ANSWER_S = 30.0
# A stream is never silent for longer: the server sends a comment line at least every 15 s.
STREAM_SILENCE_S = 60.0
_DISTRUST = "CERTIFICATE_VERIFY_FAILED"
PATIENCE_S = 60.0
NEXT_ATTEMPT_S = 0.5
SUBMIT_PAUSES_S = (0.05, 0.2)


def _quietly(lost: Unreachable) -> None:
    """What streams do about a lost server when nobody wants to hear of it: try again."""


class Client:
    """Blocking access to one server. Safe to share between threads for plain calls."""

    def __init__(
        self,
        address: str,
        token: str,
        *,
        answer_s: float = ANSWER_S,
        patience_s: float = PATIENCE_S,
        ca_file: Path = Path(CA_FILE),
        endpoint: Callable[[], tuple[str, str]] | None = None,
    ) -> None:
        """Talk to the server at `address`.

        Args:
            answer_s: how long one answer may take.
            patience_s: how long a stream tries to come back after the server has gone.
            ca_file: certificate to trust beside the machine's own.
            endpoint: where address and token are read again before a reconnect.
        """
        self._endpoint = endpoint or (lambda: (address, token))
        self.address = address
        self._token = token
        self._patience_s = patience_s
        self._http = httpx2.Client(
            timeout=httpx2.Timeout(answer_s, connect=CONNECT_S),
            # Loading the machine's authorities takes 20 ms, and plain HTTP has no use for them.
            verify=trust(ca_file) if address.startswith("https:") else False,
            trust_env=False,  # traffic to a loopback address must not go through a proxy
        )

    @classmethod
    def from_home(
        cls, home: Home, *, answer_s: float = ANSWER_S, patience_s: float = PATIENCE_S
    ) -> "Client":
        """The client of the server that runs for this home.

        Raises:
            Unreachable: no server has left its address here.
        """
        address, token = home.endpoint()
        return cls(
            address,
            token,
            answer_s=answer_s,
            patience_s=patience_s,
            ca_file=home.ca_file,
            endpoint=home.endpoint,
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # ---- the server ---------------------------------------------------------------------------

    def healthy(self) -> bool:
        """Whether a server answers there.

        Raises:
            Unreachable: one does, but with a certificate that is not trusted.
        """
        try:
            return self._http.get(f"{self.address}/healthz").status_code == 200
        except httpx2.TransportError as error:
            if _DISTRUST in str(error):
                raise _distrusted(self.address, error) from error
            return False

    def status(self) -> ServerStatus:
        """The server and its fleet."""
        return self._get(ServerStatus, "/v1/status")

    def shutdown(self, *, stop_jobs: bool = False) -> None:
        """Ask the server to stop; running jobs go on without it unless `stop_jobs`."""
        self._call("POST", "/v1/shutdown", body=ShutdownRequest(stop_jobs=stop_jobs))

    # ---- nodes --------------------------------------------------------------------------------

    def drain(self, node: str, *, leave: bool = False) -> NodeDetail:
        """Give a node no new work; with `leave`, what runs there saves and goes."""
        path = f"/v1/nodes/{quote(node, safe='')}/drain"
        return read(NodeDetail, self._call("POST", path, body=DrainRequest(leave=leave)))

    def undrain(self, node: str) -> NodeDetail:
        """Give a node work again."""
        return read(NodeDetail, self._call("POST", f"/v1/nodes/{quote(node, safe='')}/undrain"))

    # ---- jobs ---------------------------------------------------------------------------------

    def submit(self, job: Mapping[str, Any], *, key: str = "") -> Submitted:
        """Hand in a job; durable once this returns.

        Args:
            job: the content of a job.yaml, as JSON, with absolute paths.
            key: the same key gives the same job; a new one is made up where it is empty.
        """
        request = SubmitRequest(job=dict(job), key=key or uuid.uuid4().hex)
        for pause_s in SUBMIT_PAUSES_S:
            try:
                return read(Submitted, self._call("POST", "/v1/jobs", body=request))
            except Unreachable:
                # The answer may be lost, not the job: the key makes repeating safe.
                time.sleep(pause_s)
                self._find_again()
        return read(Submitted, self._call("POST", "/v1/jobs", body=request))

    def jobs(self, *, state: str = "", limit: int = 50, cursor: str = "") -> JobPage:
        """One page of jobs, newest first."""
        query: Query = {"limit": limit}
        if state:
            query["state"] = state
        if cursor:
            query["cursor"] = cursor
        return self._get(JobPage, "/v1/jobs", query)

    def job(self, job: str) -> JobDetail:
        """Everything about one job."""
        return self._get(JobDetail, f"/v1/jobs/{job}")

    def follow_job(
        self, job: str, *, every_s: float = 0.5, on_lost: OnLost = _quietly
    ) -> Iterator[JobDetail]:
        """The job again and again, until it is final.

        Raises:
            Unreachable: the server stayed away for longer than `patience_s`.
        """

        def connect() -> Iterator[JobDetail]:
            while True:
                detail = self.job(job)
                yield detail
                if JobState(detail.row.state).final:
                    return
                time.sleep(every_s)

        return self._again_and_again(connect, on_lost)

    def why(self, job: str) -> Reason:
        """Why the job is where it is."""
        return self._get(Reason, f"/v1/jobs/{job}/why")

    def cancel(self, job: str) -> JobRow:
        """End the job."""
        return read(JobRow, self._call("POST", f"/v1/jobs/{job}/cancel"))

    def pause(self, job: str) -> JobRow:
        """Save, stop, and hold the job back."""
        return read(JobRow, self._call("POST", f"/v1/jobs/{job}/pause"))

    def resume(self, job: str) -> JobRow:
        """Put a paused job back in the queue."""
        return read(JobRow, self._call("POST", f"/v1/jobs/{job}/resume"))

    def checkpoint(self, job: str) -> JobRow:
        """Ask the ranks to save soon."""
        return read(JobRow, self._call("POST", f"/v1/jobs/{job}/checkpoint"))

    # ---- events and logs ----------------------------------------------------------------------

    def events(self, *, job: str = "", after: int = 0, limit: int = 200) -> EventPage:
        """Events with a number above `after`, in order; of one job, or of all."""
        path = f"/v1/jobs/{job}/events" if job else "/v1/events"
        return self._get(EventPage, path, {"after": after, "limit": limit})

    def all_events(self, *, job: str = "", after: int = 0) -> Iterator[EventRow]:
        """Every event from `after` up to now, page by page."""
        while page := self.events(job=job, after=after, limit=500).events:
            yield from page
            after = page[-1].seq

    def follow_events(
        self, *, job: str = "", after: int = 0, on_lost: OnLost = _quietly
    ) -> Iterator[EventRow]:
        """Events as they happen, each once, for ever.

        Args:
            on_lost: called each time when the server has gone and the stream tries to come back.

        Raises:
            Unreachable: the server stayed away for longer than `patience_s`.
        """
        seen = after

        def connect() -> Iterator[EventRow]:
            nonlocal seen
            query: Query = {"after": seen}
            if job:
                query["job"] = job
            for data in self._stream("/v1/events/stream", query):
                row = read(EventRow, data)
                if row.seq > seen:
                    seen = row.seq
                    yield row
            raise self._closed()

        return self._again_and_again(connect, on_lost)

    def log(
        self,
        job: str,
        *,
        rank: int = 0,
        attempt: int | None = None,
        offset: int = 0,
        limit_bytes: int = 65536,
    ) -> LogChunk:
        """A piece of one rank's output; an `offset` below zero counts from the end.

        Args:
            attempt: epoch of the attempt; None is the newest.
        """
        query: Query = {"rank": rank, "offset": offset, "limit": limit_bytes}
        if attempt is not None:
            query["attempt"] = attempt
        return self._get(LogChunk, f"/v1/jobs/{job}/logs", query)

    def follow_log(
        self,
        job: str,
        *,
        rank: int = 0,
        attempt: int | None = None,
        offset: int = 0,
        on_lost: OnLost = _quietly,
    ) -> Iterator[LogChunk]:
        """One rank's output as it is written, until the job is final.

        Without an `attempt` it goes on through later attempts; a chunk says which one it is of.

        Raises:
            Unreachable: the server stayed away for longer than `patience_s`.
        """
        # The server goes on to later attempts by itself, while the connection lasts. A new
        # connection has to name the attempt, or the offset could be applied to a newer one.
        epoch, position, ended = attempt or 0, offset, False

        def connect() -> Iterator[LogChunk]:
            nonlocal epoch, position, ended
            while True:
                query: Query = {"rank": rank, "offset": position, "attempt": epoch}
                for data in self._stream(f"/v1/jobs/{job}/logs/stream", query):
                    chunk = read(LogChunk, data)
                    epoch = split_attempt_id(chunk.attempt)[1]
                    position, ended = chunk.next_offset, chunk.ended
                    yield chunk
                if ended and attempt is not None:
                    return
                row = self.job(job).row
                if ended and row.epoch > epoch:
                    epoch, position, ended = epoch + 1, 0, False
                elif JobState(row.state).final:
                    return
                elif ended:
                    time.sleep(NEXT_ATTEMPT_S)
                else:
                    raise self._closed()

        return self._again_and_again(connect, on_lost)

    # ---- the wire -----------------------------------------------------------------------------

    def _get(self, target: type[T], path: str, query: Query | None = None) -> T:
        return read(target, self._call("GET", path, query=query))

    def _call(self, method: str, path: str, *, query: Query | None = None, body: Any = None) -> Any:
        with self._reaching():
            response = self._http.request(
                method,
                self.address + path,
                params=query,
                json=None if body is None else to_json(body),
                headers=self._headers(),
            )
        raise_for_answer(self.address, response.status_code, response.content)
        return response.json()

    def _stream(self, path: str, query: Query) -> Iterator[Any]:
        """The JSON data of each server-sent event, until the server ends the stream."""
        timeout = httpx2.Timeout(STREAM_SILENCE_S, connect=CONNECT_S)
        with (
            self._reaching(),
            self._http.stream(
                "GET",
                self.address + path,
                params=query,
                headers={**self._headers(), "accept": "text/event-stream"},
                timeout=timeout,
            ) as response,
        ):
            if response.status_code != 200:
                response.read()
                raise_for_answer(self.address, response.status_code, response.content)
            for message in httpx2.EventSource(response):
                if message.data:
                    yield message.json()

    def _closed(self) -> Unreachable:
        return Unreachable(self.address, "the server closed the stream", START_ONE)

    def _again_and_again(self, connect: Callable[[], Iterator[T]], on_lost: OnLost) -> Iterator[T]:
        """Items of one stream over as many connections as it takes, until one ends in order."""
        lost_at, pause_s = 0.0, 0.0
        while True:
            try:
                for item in connect():
                    lost_at = 0.0
                    yield item
                return
            except Unreachable as lost:
                now = time.monotonic()
                if not lost_at:
                    lost_at, pause_s = now, 0.1
                    on_lost(lost)
                if now - lost_at > self._patience_s:
                    raise
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, 2.0)
                self._find_again()

    def _find_again(self) -> None:
        try:
            self.address, self._token = self._endpoint()
        except Unreachable:
            return  # not back yet: the old address does for the next try

    def _headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._token}"}

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except httpx2.TimeoutException as error:
            raise Unreachable(self.address, "no answer in time", _is_it_alive()) from error
        except httpx2.TransportError as error:
            if _DISTRUST in str(error):
                raise _distrusted(self.address, error) from error
            problem = f"no server answers ({error})" if str(error) else "no server answers"
            raise Unreachable(self.address, problem, START_ONE) from error


def _is_it_alive() -> str:
    return "see whether it is overloaded or stuck: irongrid doctor"


def _distrusted(address: str, error: httpx2.TransportError) -> Unreachable:
    fix = "use a certificate that names this host; put its authority into ca.pem in the home"
    return Unreachable(address, f"its certificate is not trusted: {error}", fix)
