"""Who is asking: the user, or the worker of one attempt.

An attempt token is `<job>.<epoch>.<hex>`: the name of the attempt and its HMAC-SHA256 (RFC 2104)
under the home's secret. It needs no table, is worthless for any other attempt, and dies with its
own, because every worker route asks the state whether that epoch is still current.
"""

import hashlib
import hmac
from dataclasses import dataclass

from irongrid.domain.ids import JobId, attempt_id, split_attempt_id


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Holds the home's token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptWorker:
    """Holds the token of one attempt, which may be over."""

    job: JobId
    epoch: int


class Tokens:
    """Signs attempt tokens and tells who holds a token. Comparisons take constant time."""

    def __init__(self, user_token: str, secret: bytes) -> None:
        self._user_token = user_token.encode()
        self._secret = secret

    def for_attempt(self, job: JobId, epoch: int) -> str:
        """The token that the workers of an attempt use."""
        name = attempt_id(job, epoch)
        return f"{name}.{self._signature(name)}"

    def holder(self, token: str) -> User | AttemptWorker | None:
        """Who may use this token; None for nobody."""
        if hmac.compare_digest(token.encode(), self._user_token):
            return User()
        name, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(name).encode()):
            return None
        try:
            job, epoch = split_attempt_id(name)
        except ValueError:
            return None
        return AttemptWorker(job=job, epoch=epoch)

    def _signature(self, name: str) -> str:
        return hmac.new(self._secret, name.encode(), hashlib.sha256).hexdigest()
