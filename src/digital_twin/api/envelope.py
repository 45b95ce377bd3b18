"""The outermost layer: whatever happens inside, an answer has its id, its headers, its metrics and its log line."""

import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from digital_twin.api.problems import UNEXPECTED, HttpProblem, problem
from digital_twin.api.reading_formats import STREAMED_IN, essence
from digital_twin.telemetry import HTTP_DURATION, HTTP_REQUESTS, get_logger

SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=63072000; includeSubDomains"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
STRICT_CSP = b"default-src 'none'; frame-ancestors 'none'"
DOCS_CSP = (
    b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})
_ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


class BodyTooLarge(HttpProblem):
    """More bytes arrived than allowed; of the kind that goes through whatever reads the body."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(413, f"the body is larger than {limit_bytes // 2**20} MiB; send it in smaller parts")


class Envelope:
    """An ASGI wrapper around the whole application."""

    def __init__(
        self, app: ASGIApp, *, max_body_bytes: int, max_streamed_bytes: int, allowed_hosts: Sequence[str] = ("*",)
    ) -> None:
        """`allowed_hosts` are names, `*.name` for those below one, or `*` for any."""
        self._app = app
        self._limits = _Limits(max_body_bytes, max_streamed_bytes, tuple(host.lower() for host in allowed_hosts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._limits)
        await exchange.run(self._app)


@dataclass(frozen=True, slots=True)
class _Limits:
    max_body_bytes: int
    max_streamed_bytes: int
    allowed_hosts: tuple[str, ...]

    def body_bytes(self, scope: Scope) -> int:
        """How large a body may be: one of readings that is read part by part never stands in memory."""
        is_streamed = scope["path"].endswith("/readings") and _content_type(scope) in STREAMED_IN
        return self.max_streamed_bytes if is_streamed else self.max_body_bytes


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: _Limits) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._max_body_bytes = limits.body_bytes(scope)
        self._allowed_hosts = limits.allowed_hosts
        self._received = 0
        self._status: int | None = None
        self._request_id = _request_id(scope)

    async def run(self, app: ASGIApp) -> None:
        self._scope["request_id"] = self._request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=self._request_id)
        started = time.perf_counter()
        try:
            if not _is_allowed(_host(self._scope), self._allowed_hosts):
                await self._answer(400, "this server does not answer under this host name")
                return
            if _declared_length(self._scope) > self._max_body_bytes:
                raise BodyTooLarge(self._max_body_bytes)
            await app(self._scope, self._receive_counted, self._send_sealed)
        except BodyTooLarge as error:
            await self._answer(error.status_code, error.detail)
        except Exception as error:
            get_logger().error("unhandled_error", exc_info=error)
            await self._answer(500, UNEXPECTED)
        finally:
            self._measure(time.perf_counter() - started)

    async def _receive_counted(self) -> Message:
        message = await self._receive()
        self._received += len(message.get("body", b""))
        if self._received > self._max_body_bytes:
            raise BodyTooLarge(self._max_body_bytes)
        return message

    async def _send_sealed(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = message.setdefault("headers", [])
            present = {name.lower() for name, _ in headers}
            is_docs = self._scope["path"].startswith("/docs") and self._status == 200
            policy = (b"content-security-policy", DOCS_CSP if is_docs else STRICT_CSP)
            added = (*SECURITY_HEADERS, policy, (b"x-request-id", self._request_id.encode()))
            headers.extend((name, value) for name, value in added if name not in present)
        await self._send(message)

    async def _answer(self, status: int, detail: str) -> None:
        if self._status is not None:
            return  # the answer had begun; the server closes the connection
        response = problem(self._request_id, status, detail)
        await response(self._scope, self._receive, self._send_sealed)

    def _measure(self, seconds: float) -> None:
        route: Any = self._scope.get("route")
        path = getattr(route, "path", "unmatched")
        method = self._scope["method"] if route is not None and self._scope["method"] in _METHODS else "other"
        HTTP_REQUESTS.labels(method, path, str(self._status or 499)).inc()
        HTTP_DURATION.labels(method, path).observe(seconds)
        get_logger().info(
            "request", method=self._scope["method"], route=path, status=self._status, ms=round(seconds * 1e3, 1)
        )


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given = value.decode("latin-1")
            if 8 <= len(given) <= 64 and set(given) <= _ID_CHARACTERS:
                return given
    return secrets.token_urlsafe(12)


def _host(scope: Scope) -> str:
    given = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
    return re.sub(r":\d*\Z", "", given.strip().lower())


def _is_allowed(host: str, allowed: Sequence[str]) -> bool:
    return any(
        name in ("*", host) or (name.startswith("*.") and host.endswith(name[1:]) and host != name[1:])
        for name in allowed
    )


def _content_type(scope: Scope) -> str:
    return next((essence(value.decode("latin-1")) for name, value in scope["headers"] if name == b"content-type"), "")


def _declared_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0
