"""HTTP answers as values and errors of ours."""

import json
from typing import Any, TypeVar

from irongrid.domain.codec import from_json
from irongrid.domain.messages import ErrorBody
from irongrid.errors import (
    CodecError,
    Conflict,
    IrongridError,
    NotFound,
    Problem,
    Refused,
    SpecError,
    Unauthorised,
    Unreachable,
)

T = TypeVar("T")

_BY_STATUS: dict[int, type[Refused]] = {
    401: Unauthorised,
    403: Unauthorised,
    404: NotFound,
    409: Conflict,
}
_TRY_LATER = frozenset({429, 502, 503, 504})


class ServerFault(IrongridError):
    """The server failed in a way that it should not, or said what this client cannot read."""


def read(target: type[T], data: Any) -> T:
    """The value behind an answer's JSON.

    Raises:
        ServerFault: it has another shape, as between two versions of Irongrid.
    """
    try:
        return from_json(target, data)
    except CodecError as error:
        raise ServerFault(
            f"the server's {target.__name__} cannot be read ({error}). "
            "Do client and server have the same version? irongrid down; irongrid up --detach"
        ) from error


def raise_for_answer(address: str, status: int, content: bytes) -> None:
    """Return if the answer is a success.

    Raises:
        SpecError: 400, 413 or 422: what was sent is wrong; one problem per line of its details.
        Unauthorised, NotFound, Conflict, Refused: the answer is no.
        Unreachable: 429, 502, 503, 504: not now; repeating is safe.
        ServerFault: any other 5xx.
    """
    if status < 300:
        return
    body = _error_body(status, content)
    if status in (400, 413, 422):
        raise SpecError(_problems(body))
    if status in _TRY_LATER:
        raise Unreachable(address, body.problem, body.fix or "try again in a moment")
    if status >= 500:
        raise ServerFault(f"{address} failed with status {status}: {body.problem}")
    raise _BY_STATUS.get(status, Refused)(body.code, body.problem, body.fix)


def _error_body(status: int, content: bytes) -> ErrorBody:
    try:
        return from_json(ErrorBody, json.loads(content))
    except (ValueError, CodecError):
        text = content[:200].decode(errors="replace").strip()
        return ErrorBody(code=f"http_{status}", problem=text or f"status {status}")


def _problems(body: ErrorBody) -> tuple[Problem, ...]:
    lines = body.details or (body.problem,)
    return tuple(
        Problem(field="", problem=line, fix=body.fix if len(lines) == 1 else "", source="server")
        for line in lines
    )
