"""Names of things: short, sortable, never used twice."""

from typing import NewType

JobId = NewType("JobId", str)
AttemptId = NewType("AttemptId", str)
NodeId = NewType("NodeId", str)

# Crockford's base 32: no letters that a person takes for digits (Crockford, "Base 32", 2019).
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_WIDTH = 6


def job_id(number: int) -> JobId:
    """The id of the `number`-th job ever submitted. Sorts as text in submission order."""
    digits = []
    rest = number
    for _ in range(_WIDTH):
        rest, digit = divmod(rest, 32)
        digits.append(_ALPHABET[digit])
    if rest:
        raise OverflowError(f"job number {number} does not fit {_WIDTH} digits")
    return JobId("j" + "".join(reversed(digits)))


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
