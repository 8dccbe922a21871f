"""`irongrid why`: a sentence, what blocks the job, and the smallest change."""

from irongrid.cli.reference import resolve
from irongrid.cli.screen import Screen
from irongrid.client.api import Client
from irongrid.client.home import Home
from irongrid.domain.codec import to_json
from irongrid.domain.messages import Reason


def why(home: Home, reference: str, *, as_json: bool) -> int:
    """Print why the job is where it is."""
    screen = Screen(as_json=as_json)
    with Client.from_home(home) as client:
        reason = client.why(resolve(client, reference))
    if not as_json:
        for line in lines(reason):
            screen.say(line)
    screen.answer(to_json(reason))
    return 0


def lines(reason: Reason) -> list[str]:
    """The answer for a person; the sentence comes first and stands alone."""
    out = [f"{reason.job_id}: {reason.sentence}"]
    if reason.constraints:
        out += ["", "What holds it back, the hardest first:"]
        out += [
            f"  {number}. {constraint.text}  [{constraint.code}]"
            for number, constraint in enumerate(reason.constraints, start=1)
        ]
    if reason.holders:
        out += ["", "Who holds what it waits for:"]
        out += [f"  {holder}" for holder in reason.holders]
    if reason.smallest_change:
        out += ["", f"What would start it: {reason.smallest_change}"]
    return out
