"""Which job a person means: `j00001a`, `1a`, `j0000`, a name, or `last`."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from irongrid.cli.failures import wrong_input
from irongrid.client.api import Client

# Names and fragments are looked up among the newest jobs, so that a long history stays quick.
NEWEST_JOBS = 2000
PAGE = 500
_FULL = re.compile(r"j[0-9a-hjkmnp-tv-z]{6}")
_SHORT = re.compile(r"[0-9a-hjkmnp-tv-z]{1,6}")
_CANDIDATES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Named:
    """A job's id and name."""

    job_id: str
    name: str


def resolve(client: Client, reference: str) -> str:
    """The id of the job that a person means.

    Raises:
        SpecError: no job fits, or several do.
    """
    if _FULL.fullmatch(reference):
        return reference
    if reference == "last":
        newest = client.jobs(limit=1).jobs
        if not newest:
            raise wrong_input("there is no job yet", "submit one: irongrid submit FILE")
        return newest[0].job_id
    return choose(reference, _newest(client))


def resolve_all(client: Client, references: Iterable[str]) -> list[str]:
    """The ids of several jobs, in the order given, each once."""
    return list(dict.fromkeys(resolve(client, reference) for reference in references))


def choose(reference: str, jobs: Iterable[Named]) -> str:
    """The one job among `jobs` that `reference` names.

    A whole name or number wins over a part of an id: with j000001 and j000011, `1` is the first.

    Raises:
        SpecError: none fits, or several do.
    """
    known = list(jobs)
    number = f"j{reference:0>6}" if _SHORT.fullmatch(reference) else ""
    whole = [job for job in known if job.job_id == number or job.name == reference]
    part = [
        job for job in known if job.job_id.endswith(reference) or job.job_id.startswith(reference)
    ]
    found = whole or part
    if len(found) == 1:
        return found[0].job_id
    if not found:
        raise wrong_input(f"no job is called {reference!r}", "see the jobs: irongrid ps --all")
    listed = ", ".join(f"{job.job_id} ({job.name})" for job in found[:_CANDIDATES_SHOWN]) + (
        f" and {len(found) - _CANDIDATES_SHOWN} more" if len(found) > _CANDIDATES_SHOWN else ""
    )
    raise wrong_input(f"{reference!r} may be any of {listed}", "give the whole id")


def _newest(client: Client) -> Iterable[Named]:
    seen, cursor = 0, ""
    while seen < NEWEST_JOBS:
        page = client.jobs(limit=PAGE, cursor=cursor)
        for row in page.jobs:
            yield Named(row.job_id, row.name)
        seen += len(page.jobs)
        cursor = page.next_cursor
        if not cursor or not page.jobs:
            return
