"""`irongrid logs`: what a rank has written."""

from collections.abc import Iterator
from typing import Any

from irongrid.cli.failures import INTERRUPTED
from irongrid.cli.reference import resolve
from irongrid.cli.screen import Screen
from irongrid.cli.watching import say_goes_on, waits_for_server
from irongrid.client.api import Client
from irongrid.client.home import Home
from irongrid.domain.messages import LogChunk

TAIL_BYTES = 65536


def logs(
    home: Home,
    reference: str,
    *,
    follow: bool,
    rank: int,
    attempt: int | None,
    tail: int | None,
    as_json: bool,
) -> int:
    """Print a rank's output, to its present end or until the job is final."""
    screen = Screen(as_json=as_json)
    told = _Told()
    exit_code = 0
    with Client.from_home(home) as client:
        job = resolve(client, reference)
        try:
            offset = 0
            if tail is not None:
                last = client.log(job, rank=rank, attempt=attempt, offset=-TAIL_BYTES)
                _print(screen, told, last, last_lines(last.text, tail), keep=as_json and not follow)
                offset = last.next_offset
            for chunk in _chunks(client, screen, job, rank, attempt, offset, follow=follow):
                _print(screen, told, chunk, chunk.text, keep=as_json and not follow)
        except KeyboardInterrupt:
            say_goes_on(screen, f"job {job} is not touched", f"irongrid logs {job} -f")
            exit_code = INTERRUPTED
    screen.answer({"job_id": job, "rank": rank, **told.as_json(text=not follow)})
    return exit_code


class _Told:
    """What has been printed so far, for the object of --json."""

    def __init__(self) -> None:
        self.attempt = ""
        self.next_offset = 0
        self.dropped_bytes = 0
        self.text: list[str] = []

    def as_json(self, *, text: bool) -> dict[str, Any]:
        value: dict[str, Any] = {
            "attempt": self.attempt,
            "next_offset": self.next_offset,
            "dropped_bytes": self.dropped_bytes,
        }
        return {**value, "text": "".join(self.text)} if text else value


def last_lines(text: str, count: int) -> str:
    """The last `count` lines of a text."""
    return "".join(text.splitlines(keepends=True)[-count:])


def _chunks(
    client: Client,
    screen: Screen,
    job: str,
    rank: int,
    attempt: int | None,
    offset: int,
    *,
    follow: bool,
) -> Iterator[LogChunk]:
    if follow:
        yield from client.follow_log(
            job, rank=rank, attempt=attempt, offset=offset, on_lost=waits_for_server(screen)
        )
        return
    while True:
        chunk = client.log(job, rank=rank, attempt=attempt, offset=offset)
        if chunk.next_offset <= offset:
            return
        yield chunk
        offset = chunk.next_offset


def _print(screen: Screen, told: _Told, chunk: LogChunk, text: str, *, keep: bool) -> None:
    if told.attempt and chunk.attempt != told.attempt:
        screen.note(f"--- attempt {chunk.attempt} ---")
    if chunk.dropped_bytes:
        screen.note(f"--- {chunk.dropped_bytes} older bytes were dropped by rotation ---")
    told.attempt, told.next_offset = chunk.attempt, chunk.next_offset
    told.dropped_bytes += chunk.dropped_bytes
    if keep:
        told.text.append(text)
    else:
        screen.raw(text)
