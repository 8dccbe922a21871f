"""`irongrid ps`: the list of jobs."""

from dataclasses import replace
from typing import TYPE_CHECKING

from irongrid.cli.failures import wrong_input
from irongrid.cli.grammar import nearest
from irongrid.cli.screen import Screen
from irongrid.cli.wording import progress, where_or_why
from irongrid.client.api import Client
from irongrid.client.home import Home
from irongrid.domain.codec import to_json
from irongrid.domain.job import JobState
from irongrid.domain.messages import JobPage, JobRow
from irongrid.units import format_duration

if TYPE_CHECKING:
    from rich.table import Table

PAGE = 500
_STYLE = {
    "running": "green",
    "starting": "cyan",
    "queued": "yellow",
    "paused": "yellow",
    "failed": "red",
    "cancelled": "dim",
}


def ps(home: Home, *, everything: bool, state: str, limit: int, as_json: bool) -> int:
    """Print active jobs, or those asked for."""
    screen = Screen(as_json=as_json)
    states = states_of(everything=everything, state=state)
    with Client.from_home(home) as client:
        page = gather(client, states, limit)
    if as_json:
        screen.answer(to_json(page))
        return 0
    if page.jobs:
        screen.say(table(page.jobs))
    else:
        screen.say(_nothing(page.counts, everything=everything, state=state))
    for node, why in page.closed.items():
        screen.note(f"{node} takes no new work: {why}. Open it: irongrid undrain {node}")
    hidden = _matching(page.counts, states) - len(page.jobs)
    if hidden > 0:
        screen.note(f"{hidden} more: irongrid ps --limit {len(page.jobs) + hidden}")
    return 0


def gather(client: Client, states: tuple[str, ...], limit: int) -> JobPage:
    """The newest jobs of some states; no state is every state."""
    rows: list[JobRow] = []
    cursor = ""
    while True:
        page = client.jobs(
            state=",".join(states), limit=min(PAGE, limit - len(rows)), cursor=cursor
        )
        rows += page.jobs
        cursor = page.next_cursor
        if not cursor or not page.jobs or len(rows) >= limit:
            return replace(page, jobs=tuple(rows))


def states_of(*, everything: bool, state: str) -> tuple[str, ...]:
    if state:
        known = [member.value for member in JobState]
        if state not in known:
            near = nearest(state, known)
            fix = f"did you mean {near}? " if near else ""
            raise wrong_input(f"there is no state {state!r}", f"{fix}known: {', '.join(known)}")
        return (state,)
    if everything:
        return ()
    return tuple(member.value for member in JobState if not member.final)


def _matching(counts: dict[str, int], states: tuple[str, ...]) -> int:
    return sum(count for state, count in counts.items() if not states or state in states)


def table(rows: tuple[JobRow, ...]) -> "Table":
    """The jobs in columns that fit a terminal of 80."""
    from rich.table import Table
    from rich.text import Text

    out = Table(box=None, pad_edge=False, header_style="bold")
    out.add_column("JOB", no_wrap=True)
    out.add_column("NAME", no_wrap=True, max_width=18)
    out.add_column("STATE", no_wrap=True)
    out.add_column("STEP", no_wrap=True, justify="right")
    out.add_column("RANKS", no_wrap=True, justify="right")
    out.add_column("TIME", no_wrap=True, justify="right")
    out.add_column("WHERE/WHY", no_wrap=True, max_width=16)
    for row in rows:
        out.add_row(
            row.job_id,
            Text(row.name),
            Text(row.state, style=_STYLE.get(row.state, "")),
            progress(row),
            str(row.devices),
            format_duration(row.wall_s),
            where_or_why(row),
        )
    return out


def _nothing(counts: dict[str, int], *, everything: bool, state: str) -> str:
    if state:
        return f"no job is {state}"
    ended = {name: count for name, count in counts.items() if count and JobState(name).final}
    if everything or not ended:
        return "no jobs yet. Submit one: irongrid submit FILE"
    told = ", ".join(f"{count} {name}" for name, count in ended.items())
    return f"no job is active ({told}). See them: irongrid ps --all"
