"""`irongrid cancel`, `pause` and `resume`: one request per job, all of them tried."""

from typing import Any

from irongrid.cli.failures import THE_ANSWER_IS_NO, shown
from irongrid.cli.reference import resolve_all
from irongrid.cli.screen import Screen
from irongrid.client.api import Client
from irongrid.client.home import Home
from irongrid.domain.codec import to_json
from irongrid.domain.messages import JobRow
from irongrid.errors import Refused


def act(home: Home, verb: str, references: list[str], *, as_json: bool) -> int:
    """Ask for each job in turn; the answer is no if any of them was refused."""
    screen = Screen(as_json=as_json)
    done: list[Any] = []
    refused: list[dict[str, Any]] = []
    with Client.from_home(home) as client:
        request = {"cancel": client.cancel, "pause": client.pause, "resume": client.resume}[verb]
        for job in resolve_all(client, references):
            try:
                row = request(job)
            except Refused as error:
                refused.append({"job_id": job, **shown(error).as_json()["error"]})
                screen.note(f"irongrid: {job}: {error.problem}")
                if error.fix:
                    screen.note(f"  -> {error.fix}")
            else:
                done.append(to_json(row))
                screen.say(f"{row.job_id} ({row.name}): {verb} accepted{_until(row)}")
    screen.answer({"jobs": done, "refused": refused})
    return THE_ANSWER_IS_NO if refused else 0


def _until(row: JobRow) -> str:
    """Stopping takes a moment: ranks save first."""
    if row.nodes:
        return f", {row.state} until its ranks have stopped"
    return f", it is {row.state} now"
