"""Keep-alive clients in a process of their own: submit jobs and list them, as fast as they may.

Reads one JSON object from stdin, prints one. See `Wanted` for its fields.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

import uvloop


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the clients should do.

    Attributes:
        submitters: clients that hand in one job after another, each waiting for its answer.
        readers: clients that ask for the first page of jobs again and again.
        seconds: how long; 0 is until `count`.
        count: submits in all; 0 is until `seconds` are over.
        prefix: keys and names start with it, so that no two runs share one.
    """

    address: str
    token: str
    submitters: int
    readers: int
    seconds: float
    count: int
    prefix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What came of it. Latencies in milliseconds, as a client sees them."""

    submits: int
    reads: int
    seconds: float
    submit_ms_p50: float
    submit_ms_p99: float
    submit_ms_max: float
    read_ms_p50: float
    read_ms_p99: float
    read_ms_max: float


class Connection:
    """One HTTP connection; plain text, so that the client costs little."""

    def __init__(self, address: str, token: str) -> None:
        self._host, self._port = urlsplit(address).hostname, urlsplit(address).port
        self._common = f"host: {self._host}\r\nauthorization: Bearer {token}\r\n"

    async def open(self) -> None:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)

    async def call(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes, float]:
        """One request; status, body, and the seconds until all of it was there."""
        length = f"content-length: {len(body)}\r\n" if body else ""
        head = f"{method} {path} HTTP/1.1\r\n{self._common}{length}\r\n"
        started = time.perf_counter()
        self._writer.write(head.encode() + body)
        headers = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        size = int(headers.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        answer = await self._reader.readexactly(size)
        return int(headers.split(b" ", 2)[1]), answer, time.perf_counter() - started


class Clients:
    """All clients of one run."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._submit_s: list[float] = []
        self._read_s: list[float] = []
        self._left = wanted.count

    async def run(self) -> Measured:
        """Do what is wanted."""
        wanted = self._wanted
        started = time.perf_counter()
        self._until = started + wanted.seconds if wanted.seconds else float("inf")
        submitting = [asyncio.create_task(self._submit(n)) for n in range(wanted.submitters)]
        reading = [asyncio.create_task(self._read()) for _ in range(wanted.readers)]
        await asyncio.gather(*submitting)
        if wanted.submitters and not wanted.seconds:
            self._until = 0.0
        await asyncio.gather(*reading)
        return Measured(
            submits=len(self._submit_s),
            reads=len(self._read_s),
            seconds=time.perf_counter() - started,
            submit_ms_p50=percentile_ms(self._submit_s, 0.5),
            submit_ms_p99=percentile_ms(self._submit_s, 0.99),
            submit_ms_max=percentile_ms(self._submit_s, 1.0),
            read_ms_p50=percentile_ms(self._read_s, 0.5),
            read_ms_p99=percentile_ms(self._read_s, 0.99),
            read_ms_max=percentile_ms(self._read_s, 1.0),
        )

    async def _submit(self, client: int) -> None:
        connection = Connection(self._wanted.address, self._wanted.token)
        await connection.open()
        number = 0
        while time.perf_counter() < self._until and self._may_submit():
            name = f"{self._wanted.prefix}-{client}-{number}"
            number += 1
            job = {"run": "python train.py --lr 0.001", "name": name, "workdir": "/srv/project"}
            body = json.dumps({"job": job, "key": name}).encode()
            status, answer, took_s = await connection.call("POST", "/v1/jobs", body)
            if status != 201:
                raise RuntimeError(f"submit: {status} {answer!r}")
            self._submit_s.append(took_s)

    def _may_submit(self) -> bool:
        if not self._wanted.count:
            return True
        self._left -= 1
        return self._left >= 0

    async def _read(self) -> None:
        connection = Connection(self._wanted.address, self._wanted.token)
        await connection.open()
        while time.perf_counter() < self._until:
            status, answer, took_s = await connection.call("GET", "/v1/jobs")
            if status != 200 or len(json.loads(answer)["jobs"]) != 50:
                raise RuntimeError(f"ps: {status} {answer[:200]!r}")
            self._read_s.append(took_s)


def percentile_ms(samples_s: list[float], share: float) -> float:
    """The sample below which `share` of all lie, in milliseconds; 0 without samples."""
    if not samples_s:
        return 0.0
    ordered = sorted(samples_s)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1e3


def main() -> None:
    """Run the clients that stdin describes."""
    given: dict[str, Any] = json.loads(sys.stdin.read())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        measured = runner.run(Clients(Wanted(**given)).run())
    print(json.dumps(asdict(measured)))


if __name__ == "__main__":
    main()
