"""What must hold when a test is over, whatever happened in it."""

from dataclasses import astuple

from tests.integration.house import House

from irongrid.control.apply import apply
from irongrid.control.invariants import violations
from irongrid.control.state import State
from irongrid.domain.job import JobState
from irongrid.domain.messages import JobDetail
from irongrid.store import open_reader
from irongrid.units import NS_PER_S

# Each part is a float made from whole nanoseconds.
ROUNDING_S = 1e-6


def faults(house: House) -> list[str]:
    """All that is wrong: ranks twice or left over, time that does not add up, broken invariants.

    All jobs must have ended.
    """
    details = [house.job(row.job_id) for row in house.client.jobs(limit=1000).jobs]
    house.wait_gone()
    house.census.stop()
    found = list(house.census.doubles)
    for detail in details:
        found += _account_faults(detail)
    return found + _log_faults(house)


def account_sum_s(detail: JobDetail) -> float:
    """All parts of a job's time account together."""
    _, *parts = astuple(detail.time_account_s)
    return float(sum(parts))


def _account_faults(detail: JobDetail) -> list[str]:
    row, account = detail.row, detail.time_account_s
    found = []
    if not JobState(row.state).final:
        found.append(f"{row.job_id} has not ended: {row.state}")
    if abs(account_sum_s(detail) - account.wall_s) > ROUNDING_S:
        found.append(f"the account of {row.job_id} does not add up: {account}")
    lived_s = (row.ended_at_ns - row.submitted_at_ns) / NS_PER_S
    if abs(account.wall_s - lived_s) > ROUNDING_S:
        found.append(f"{row.job_id} lived {lived_s} s, and its account says {account.wall_s} s")
    if min(astuple(account)) < 0:
        found.append(f"a part of the account of {row.job_id} is negative: {account}")
    return found


def _log_faults(house: House) -> list[str]:
    """Fold the log, and look at every invariant after every event."""
    state = State()
    reader = open_reader(house.store or str(house.home.path / "irongrid.db"))
    try:
        for recorded in reader.read():
            apply(state, recorded)  # Asserts that numbers have no gaps and time never steps back.
            broken = violations(state)
            if broken:
                return [f"after event {recorded.seq}, {recorded.event.kind}: {broken}"]
    finally:
        reader.close()
    return [] if state.jobs else ["the log is empty"]
