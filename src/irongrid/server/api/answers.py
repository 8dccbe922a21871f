"""Bodies in and out: bounded JSON requests, typed answers, and one form for every error."""

import asyncio
import json
import math
from collections.abc import Iterator
from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from irongrid.domain.codec import from_json, to_json
from irongrid.domain.messages import ErrorBody
from irongrid.errors import (
    CodecError,
    Conflict,
    Fenced,
    IrongridError,
    NotFound,
    Refused,
    SpecError,
    StoreError,
    Unauthorised,
    Unreachable,
)
from irongrid.server.brain import Unavailable

T = TypeVar("T")

BODY_BYTES = 2**20
BODY_TIMEOUT_S = 30.0
DETAILS = 100
# What databases and other languages take; Python's own integers have no end.
INTEGER_MOST = 2**63 - 1
_JSON = json.JSONEncoder(separators=(",", ":"), check_circular=False, allow_nan=False)


class BodyTooLarge(Refused):
    """The request's body is over the limit."""

    def __init__(self) -> None:
        super().__init__(
            "too_large", f"the body is over {BODY_BYTES} bytes", "send less in one request"
        )


class Forbidden(Refused):
    """The token is good, but not for this."""


class BadRequest(Refused):
    """The request is not well formed."""


def encoded(value: Any) -> str:
    """JSON text, pure ASCII: whatever a job wrote to its log survives the way."""
    return _JSON.encode(to_json(value))


def answer(value: Any, status: int = 200) -> Response:
    """A typed answer."""
    return Response(encoded(value), status, media_type="application/json")


async def read_json(request: Request, target: type[T], *, finite: bool = True) -> T:
    """The body as one of our types.

    Args:
        finite: refuse NaN and infinities; else the caller takes them out.

    Raises:
        BodyTooLarge, BadRequest, CodecError: what is wrong with it.
    """
    return from_json(target, parse_json(await _read_body(request), finite=finite))


async def _read_body(request: Request) -> bytes:
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > BODY_BYTES:
        raise BodyTooLarge
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for part in request.stream():
                size += len(part)
                if size > BODY_BYTES:
                    raise BodyTooLarge
                parts.append(part)
    except TimeoutError:
        raise BadRequest("slow_body", f"the body did not end within {BODY_TIMEOUT_S:g} s") from None
    return b"".join(parts)


def parse_json(body: bytes, *, finite: bool = True) -> Any:
    """A JSON value that can be kept: no half characters, no NUL, and no NaN or infinity.

    Raises:
        BadRequest: what is wrong with it.
    """
    try:
        text = body.decode()
        value = _decode(text) if finite else _decode_any(text)
        if "\\u" in text:
            _check_text(value)
    except RecursionError:
        raise BadRequest("bad_json", "the body is nested too deeply") from None
    except UnicodeError:
        raise BadRequest("bad_json", "the body is not UTF-8 text") from None
    except ValueError as problem:
        raise BadRequest("bad_json", f"the body is not JSON: {str(problem)[:200]}") from None
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is not a number that can be kept")
    return number


def _whole(text: str) -> int:
    number = int(text)
    if abs(number) > INTEGER_MOST:
        raise ValueError(f"{text[:40]} is too large a number")
    return number


_decode = json.JSONDecoder(parse_float=_finite, parse_int=_whole, parse_constant=_finite).decode
_decode_any = json.JSONDecoder(parse_int=_whole).decode


def _check_text(value: Any) -> None:
    """Refuse escapes that stand for no character: they fit in no database and no argument."""
    for text in _texts(value):
        if "\0" in text:
            raise ValueError("it holds a NUL character")
        text.encode()


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (NotFound, 404),
    (Conflict, 409),
    (Fenced, 409),
    (Unauthorised, 401),
    (Forbidden, 403),
    (BodyTooLarge, 413),
    (Unavailable, 503),
    (Refused, 400),
    (StoreError, 503),
    (Unreachable, 503),
)


def refusal(problem: IrongridError) -> Response:
    """The answer for an error of ours."""
    status = next((code for kind, code in _STATUS if isinstance(problem, kind)), 400)
    if isinstance(problem, Refused):
        body = ErrorBody(code=problem.code, problem=problem.problem, fix=problem.fix)
    elif isinstance(problem, SpecError):
        lines = tuple(str(part) for part in problem.problems)
        count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
        body = ErrorBody(
            code="bad_spec",
            problem=f"the job has {count}",
            fix="mend what is listed and submit again",
            details=lines[:DETAILS],
        )
    elif isinstance(problem, CodecError):
        body = ErrorBody(
            code="bad_request", problem=str(problem)[:1000], fix="see /openapi.json for the form"
        )
    else:
        body = ErrorBody(code="unavailable", problem=str(problem)[:1000], fix="try again")
    response = answer(body, status)
    if status == 401:
        response.headers["www-authenticate"] = "Bearer"
    if status == 413:
        response.headers["connection"] = "close"
    if status == 503:
        response.headers["retry-after"] = "1"
    return response


def wrong_parameters(problem: RequestValidationError) -> Response:
    """The answer for query or path parameters that do not fit; values are not repeated."""
    lines = tuple(
        f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}"[:300]
        for error in problem.errors()[:DETAILS]
    )
    body = ErrorBody(code="bad_parameter", problem="a parameter does not fit", details=lines)
    return answer(body, 422)


def plain_http(problem: HTTPException) -> Response:
    """The answer for what the router refuses."""
    words = {
        404: ("no_route", "there is nothing at this address"),
        405: ("no_method", "this address does not take that method"),
    }
    code, sentence = words.get(problem.status_code, ("http_error", str(problem.detail)))
    body = ErrorBody(code=code, problem=sentence, fix="see /openapi.json for what there is")
    response = answer(body, problem.status_code)
    response.headers.update(problem.headers or {})
    return response


def our_fault() -> Response:
    """The answer when the server itself failed; its log has the cause, the client gets none."""
    return answer(
        ErrorBody(
            code="internal",
            problem="the server failed on this request",
            fix="its log says why; please report it",
        ),
        500,
    )
