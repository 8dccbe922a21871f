"""Job ids for shell completion: quick, and silent when there is no server."""

from irongrid.client.home import Home
from irongrid.errors import IrongridError

ANSWER_S = 0.5
OFFERED = 30


def job_ids(home: Home, incomplete: str) -> list[tuple[str, str]]:
    """The newest jobs whose id starts with what has been typed, each with name and state."""
    from irongrid.client.api import Client

    try:
        with Client.from_home(home, answer_s=ANSWER_S) as client:
            rows = client.jobs(limit=OFFERED).jobs
    except IrongridError:
        return []
    return [
        (row.job_id, f"{row.name} ({row.state})")
        for row in rows
        if row.job_id.startswith(incomplete)
    ]
