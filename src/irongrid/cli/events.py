"""`irongrid events`: the log of facts, for people, as a stream, or as a file."""

import json
import os
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, Any

from irongrid.cli.failures import INTERRUPTED, wrong_input
from irongrid.cli.reference import resolve
from irongrid.cli.screen import Screen
from irongrid.cli.watching import say_goes_on, waits_for_server
from irongrid.cli.wording import event_line
from irongrid.client.api import Client
from irongrid.client.home import Home
from irongrid.domain.codec import canonical, to_json
from irongrid.domain.messages import EventRow


def events(
    home: Home, reference: str, *, follow: bool, after: int, export: str, as_json: bool
) -> int:
    """Print events, or write them down."""
    screen = Screen(as_json=as_json)
    if export == "-" and as_json:
        raise wrong_input(
            "--json and --export - both want stdout", "export to a file, or leave --json out"
        )
    with Client.from_home(home) as client:
        job = resolve(client, reference) if reference else ""
        if export:
            return _export(screen, client.all_events(job=job, after=after), export)
        if follow:
            return _follow(screen, client, job, after)
        rows = list(client.all_events(job=job, after=after))
    if not as_json:
        for row in rows:
            screen.say(event_line(row))
    screen.answer({"events": to_json(rows), "head_seq": rows[-1].seq if rows else after})
    return 0


def fill_store(home: Home, store_url: str, exported: str, *, as_json: bool) -> int:
    """Import an exported log into an empty store that no server holds."""
    from irongrid.server.transfer import import_log

    screen = Screen(as_json=as_json)
    count = import_log(home.path, store_url, Path(exported))
    screen.say(f"{count} events are in the store of {home.path}; start it: irongrid up --detach")
    screen.answer({"file": exported, "count": count})
    return 0


def _follow(screen: Screen, client: Client, job: str, after: int) -> int:
    count, seq = 0, after
    try:
        stream = client.follow_events(job=job, after=after, on_lost=waits_for_server(screen))
        for row in stream:
            screen.say(event_line(row))
            count, seq = count + 1, row.seq
    except KeyboardInterrupt:
        say_goes_on(screen, "nothing else has changed", f"irongrid events -f --after {seq}")
    screen.answer({"count": count, "head_seq": seq})
    return INTERRUPTED


def _export(screen: Screen, rows: Iterable[EventRow], target: str) -> int:
    count, seq = 0, 0
    with _opened(target) as file:
        for row in rows:
            file.write(ndjson_line(row) + "\n")
            count, seq = count + 1, row.seq
    if target != "-":
        screen.say(f"{count} events are in {target}")
    screen.answer({"file": target, "count": count, "head_seq": seq})
    return 0


def ndjson_line(row: EventRow) -> str:
    """The line that an import reads back; values of jobs' environments are not part of it."""
    value: dict[str, Any] = {"seq": row.seq, "at_ns": row.at_ns, "kind": row.kind}
    head = json.dumps({**value, "version": row.version}, separators=(",", ":"))
    return f'{head[:-1]},"body":{canonical(row.body)}}}'


def _opened(target: str) -> AbstractContextManager[IO[str]]:
    if target == "-":
        return nullcontext(sys.stdout)
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise wrong_input(
            f"{target} cannot be written: {error.strerror}",
            f"is there a folder {Path(target).absolute().parent}?",
        ) from error
    return os.fdopen(descriptor, "w")
