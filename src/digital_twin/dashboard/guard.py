"""What stands before every page: known hosts, a session, and headers that tell the browser to trust nobody else."""

import hashlib
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.websockets import WebSocketClose

from digital_twin.dashboard.session import Session, Sessions

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Any, Receive, Send], Awaitable[None]]
"""ASGI: scope, receive, send."""

LOGIN_PATH, LOGOUT_PATH, HEALTH_PATH = "/login", "/logout", "/_stcore/health"
OPEN_PATHS = (LOGIN_PATH, LOGOUT_PATH, HEALTH_PATH)
CLOSED_PATHS = ("/_stcore/metrics", "/_stcore/agent", "/auth/", "/oauth2callback")
"""What Streamlit serves besides pages and the dashboard has no use for."""

COOKIE = "digital_twin_session"
SECURE_COOKIE = f"__Host-{COOKIE}"
POLICY_VIOLATION = 1008


def is_secure(scope: Mapping[str, Any]) -> bool:
    """Whether the browser came by https; a trusted proxy says so for its clients."""
    return scope.get("scheme") in ("https", "wss")


def session_key(cookies: Mapping[str, str]) -> str | None:
    """The key of the browser's session; the cookie that only this host over https could set goes first."""
    return cookies.get(SECURE_COOKIE) or cookies.get(COOKIE)


def is_same_origin(headers: Headers) -> bool:
    """Whether a form was sent by our own page.

    Source: W3C Fetch Metadata; browsers without it send Origin with every POST, and what sends neither is no browser.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")


def security_headers(inline_scripts: Sequence[str]) -> dict[str, str]:
    """Nothing from elsewhere, no eval, no frame around us; these inline scripts alone run."""
    hashes = " ".join(f"'sha256-{b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in inline_scripts)
    policy = (
        "default-src 'self'",
        f"script-src 'self' {hashes}".strip(),
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
    return {
        "Content-Security-Policy": "; ".join(policy),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }


def inline_scripts_of_streamlit() -> list[str]:
    """The scripts inside the page that carries every Streamlit program."""
    page = files("streamlit").joinpath("static/index.html").read_text(encoding="utf-8")
    return re.findall(r"<script>(.*?)</script>", page, re.DOTALL)


class Guard:
    """The outermost application: nothing passes it without its headers, and no page without a session."""

    def __init__(self, app: Application, sessions: Sessions, *, allowed_hosts: Sequence[str] = ("*",)) -> None:
        """`allowed_hosts` are names, `*.name` for those below one, or `*` for any."""
        self._app = app
        self._sessions = sessions
        self._hosts = tuple(host.strip().lower() for host in allowed_hosts)
        self._headers = security_headers(inline_scripts_of_streamlit())

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(self._headers)
                if is_secure(scope):
                    headers["Strict-Transport-Security"] = "max-age=31536000"
            await send(message)

        await self._answer(scope)(scope, receive, send_with_headers)

    def _answer(self, scope: Any) -> Application:
        connection = HTTPConnection(scope)
        path: str = scope["path"]
        if not self._is_known(connection.headers.get("host", "")):
            return _refusal(scope, PlainTextResponse("this host is not served here\n", 400))
        if path.startswith(CLOSED_PATHS):
            return _refusal(scope, PlainTextResponse("there is nothing here\n", 404))
        if path in OPEN_PATHS or self._session(connection) is not None:
            return self._app
        return _refusal(scope, _to_login(connection))

    def _session(self, connection: HTTPConnection) -> Session | None:
        return self._sessions.find(session_key(connection.cookies))

    def _is_known(self, host: str) -> bool:
        name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
        return any(
            one in ("*", name.lower()) or (one.startswith("*.") and name.lower().endswith(one[1:]))
            for one in self._hosts
        )


def _to_login(connection: HTTPConnection) -> Response:
    if "text/html" not in connection.headers.get("accept", ""):
        return PlainTextResponse("sign in first\n", 401)
    path, query = connection.url.path, connection.url.query
    wanted = path + (f"?{query}" if query else "")
    return RedirectResponse(LOGIN_PATH if wanted == "/" else f"{LOGIN_PATH}?next={quote(wanted, safe='')}", 303)


def _refusal(scope: Any, response: Response) -> Application:
    return WebSocketClose(POLICY_VIOLATION) if scope["type"] == "websocket" else response
