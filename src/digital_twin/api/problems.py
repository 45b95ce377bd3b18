"""Errors as RFC 9457 problems: one sentence that says what to do, and never an echo of the input."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from digital_twin.domain.errors import (
    Conflict,
    Infeasible,
    InsufficientData,
    InvalidInput,
    NotAllowed,
    NotFound,
    TwinError,
    Unavailable,
)
from digital_twin.services.access import NotSignedIn, TooManyRequests

PROBLEM_TYPE = "application/problem+json"
UNEXPECTED = "something went wrong on our side; the request_id helps us to find it"

STATUS_OF: dict[type[TwinError], HTTPStatus] = {
    InvalidInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
    NotAllowed: HTTPStatus.FORBIDDEN,
    InsufficientData: HTTPStatus.CONFLICT,
    Infeasible: HTTPStatus.UNPROCESSABLE_ENTITY,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    NotSignedIn: HTTPStatus.UNAUTHORIZED,
    TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
}

_ADVICE = {
    400: "send a body of valid JSON",
    404: "there is nothing at this address; see /docs for those that exist",
    405: "this address does not know the method; the Allow header names those it knows",
    406: "ask for application/json",
    413: "the body is larger than this address accepts; send it in smaller parts",
    415: "send the body with a Content-Type that this address accepts",
}


_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}\Z")
_QUOTED = re.compile(r""",? got (?:unit )?(?P<mark>['"]).*(?P=mark)[^;]*""", re.DOTALL)


class HttpProblem(HTTPException):
    """A refusal of HTTP itself, such as 415, with its sentence."""


def problem(
    request_id: str, status: int, detail: str, *, kind: str | None = None, facts: dict[str, Any] | None = None
) -> Response:
    """The problem document; standard members are written last so that no fact can overwrite them."""
    document = {
        **(facts or {}),
        "type": f"/problems/{kind}" if kind else "about:blank",
        "title": (kind or HTTPStatus(status).phrase).replace("-", " ").capitalize(),
        "status": int(status),
        "detail": detail,
        "request_id": request_id,
    }
    body = orjson.dumps(document, default=str, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, status_code=status, media_type=PROBLEM_TYPE)


def status_of(error: TwinError) -> HTTPStatus:
    """The status of the closest ancestor that has one, so that plug-ins may subclass; else the fault is ours."""
    known = (STATUS_OF[cls] for cls in type(error).__mro__ if cls in STATUS_OF)
    return next(known, HTTPStatus.INTERNAL_SERVER_ERROR)


def twin_problem(request_id: str, error: TwinError) -> Response:
    """The problem of an error of the domain."""
    facts = dict(error.facts)
    field = facts.pop("field", None)
    sentence = _without_quotes(error.message)
    if field is not None:
        facts["errors"] = [{"pointer": _pointer(str(field).split(".")), "detail": sentence}]
    response = problem(request_id, status_of(error), sentence, kind=error.kind, facts=facts)
    if "retry_after_s" in error.facts:
        wait_s = max(1, round(float(error.facts["retry_after_s"])))
        response.headers["Retry-After"] = str(wait_s)
        if "quota" in error.facts:
            response.headers["RateLimit"] = f'"attempts";r=0;t={wait_s}'
            response.headers["RateLimit-Policy"] = f'"attempts";q={error.facts["quota"]};w={error.facts["window_s"]}'
    if isinstance(error, NotSignedIn):
        response.headers["WWW-Authenticate"] = 'Bearer realm="digital-twin"'
    return response


def _without_quotes(message: str) -> str:
    """The sentence without the text that was sent; the domain's own readers see it, HTTP's do not."""
    return _QUOTED.sub("", message)


def request_id_of(request: Request) -> str:
    return str(request.scope.get("request_id", ""))


def add_problem_handlers(app: FastAPI) -> None:
    """Translate every error that may leave a route."""

    async def on_twin_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, TwinError)
        return twin_problem(request_id_of(request), error)

    async def on_validation_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return validation_problem(request_id_of(request), error.errors())

    async def on_http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        said = isinstance(error, HttpProblem)
        detail = error.detail if said else _ADVICE.get(error.status_code, HTTPStatus(error.status_code).phrase)
        response = problem(request_id_of(request), error.status_code, detail)
        response.headers.update(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            response.headers["Allow"] = ", ".join(sorted(_methods_at(app, request.url.path)))
        return response

    async def on_hang_up(request: Request, error: Exception) -> Response:
        return problem(request_id_of(request), 400, "the request ended before its body was whole")

    async def on_any_error(request: Request, error: Exception) -> Response:
        return problem(request_id_of(request), 500, UNEXPECTED)

    app.add_exception_handler(Exception, on_any_error)  # it is raised again afterwards, and logged by the envelope
    app.add_exception_handler(TwinError, on_twin_error)
    app.add_exception_handler(RequestValidationError, on_validation_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(ClientDisconnect, on_hang_up)  # nobody reads it; logs and metrics do


def _methods_at(app: FastAPI, path: str) -> set[str]:
    """The methods of every route at this address; a router's own 405 names those of the first alone."""
    routes = [route for route in iter_route_contexts(app.routes) if route.path_regex.match(path)]
    return {method for route in routes for method in route.methods or ()}


def validation_problem(request_id: str, errors: Sequence[Any]) -> Response:
    """What is wrong with each field: where it stands and the rule, but not what was sent."""
    found = [{"in": str(error["loc"][0]), "pointer": _place(error), "detail": _rule(error)} for error in errors]
    first = found[0] if found else {"in": "body", "pointer": "", "detail": "the request is not valid"}
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    detail = f"{first['pointer'] or 'the ' + first['in']}: {first['detail']}{more}"
    return problem(request_id, 422, detail, kind=InvalidInput.kind, facts={"errors": found})


def _place(error: dict[str, Any]) -> str:
    if error["type"] == "json_invalid":
        return ""  # its path is a number of bytes
    path = error["loc"][1:]
    if error["type"] == "extra_forbidden" and not _NAME.match(str(path[-1])):
        path = path[:-1]  # where no name of ours could stand, it is text that was sent
    return _pointer(path)


def _pointer(path: Sequence[Any]) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _rule(error: dict[str, Any]) -> str:
    """Pydantic's sentence for its own rules, which name limits but never values; ours for our validators."""
    if error["type"] in ("value_error", "assertion_error"):
        cause = error.get("ctx", {}).get("error")
        return cause.message if isinstance(cause, TwinError) else str(cause)
    if error["type"] == "json_invalid":
        return "the body is not valid JSON (NaN, Infinity, comments and trailing commas are not)"
    if error["type"] == "union_tag_invalid":
        return f"{error['ctx']['discriminator']} must be one of {error['ctx']['expected_tags']}"
    message = str(error["msg"])
    return message[:1].lower() + message[1:]
