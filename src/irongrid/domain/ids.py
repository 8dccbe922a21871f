"""Names of things: short, sortable, never used twice."""

from typing import NewType

JobId = NewType("JobId", str)
AttemptId = NewType("AttemptId", str)
NodeId = NewType("NodeId", str)

# Crockford's base 32: no letters that a person takes for digits (Crockford, "Base 32", 2019).
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_WIDTH = 6
_PAIRS = tuple(one + other for one in _ALPHABET for other in _ALPHABET)


def job_id(number: int) -> JobId:
    """The id of the `number`-th job ever submitted. Sorts as text in submission order."""
    rest, low = divmod(number, 1024)
    high, middle = divmod(rest, 1024)
    if high >= 1024:
        raise OverflowError(f"job number {number} does not fit {_WIDTH} digits")
    return JobId(f"j{_PAIRS[high]}{_PAIRS[middle]}{_PAIRS[low]}")


def attempt_id(job: JobId, epoch: int) -> AttemptId:
    """One launch of a gang. The epoch is the job's fencing number."""
    return AttemptId(f"{job}.{epoch}")


def split_attempt_id(attempt: str) -> tuple[JobId, int]:
    """The job and epoch behind an attempt id.

    Raises:
        ValueError: the text is no attempt id.
    """
    job, dot, epoch = attempt.partition(".")
    if not dot or not job or not epoch.isdecimal():
        raise ValueError(f"{attempt!r} is not an attempt id such as j000001.1")
    return JobId(job), int(epoch)
