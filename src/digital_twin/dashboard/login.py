"""The log-in form and what it posts to: tokens never reach the browser, only a cookie that scripts cannot read."""

import re
from html import escape
from importlib.resources import files
from string import Template
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from digital_twin.client import SignInNeeded
from digital_twin.dashboard.guard import (
    COOKIE,
    LOGIN_PATH,
    LOGOUT_PATH,
    SECURE_COOKIE,
    is_same_origin,
    is_secure,
    session_key,
)
from digital_twin.dashboard.session import LIFETIME_S, Sessions
from digital_twin.dashboard.wording import sentence
from digital_twin.domain.errors import TwinError, Unavailable

LONGEST_FORM_BYTES = 16 * 1024


def login_routes(sessions: Sessions, api_url: str) -> list[Route]:
    """Log in, log out."""
    page = Template(files("digital_twin.dashboard").joinpath("login.html").read_text(encoding="utf-8"))

    def shown(status: int, *, message: str = "", username: str = "", wanted: str = "/") -> Response:
        alert = f'<p class="alert" role="alert">{escape(message)}</p>' if message else ""
        text = page.substitute(alert=alert, username=escape(username), next=escape(_inside(wanted)))
        return HTMLResponse(text, status, headers={"Cache-Control": "no-store"})

    async def show(request: Request) -> Response:
        wanted = request.query_params.get("next", "/")
        if sessions.find(session_key(request.cookies)) is not None:
            return RedirectResponse(_inside(wanted), 303)
        left = "You are logged out." if "out" in request.query_params else ""
        return shown(200, message=left, wanted=wanted)

    async def log_in(request: Request) -> Response:
        if not is_same_origin(request.headers):
            return PlainTextResponse("log in with the form of this page\n", 403)
        form = await _form(request)
        name, wanted = form.get("username", ""), form.get("next", "/")
        address = None if request.client is None else request.client.host
        try:
            session = await run_in_threadpool(sessions.open, api_url, name, form.get("password", ""), address=address)
        except TwinError as error:
            return shown(_status(error), message=_sentence(error), username=name, wanted=wanted)
        await run_in_threadpool(sessions.close, session_key(request.cookies))
        response = RedirectResponse(_inside(wanted), 303)
        secure = is_secure(request.scope)
        response.set_cookie(
            SECURE_COOKIE if secure else COOKIE,
            session.key, max_age=LIFETIME_S, secure=secure, httponly=True, samesite="lax",
        )  # fmt: skip
        return response

    async def log_out(request: Request) -> Response:
        if not is_same_origin(request.headers):
            return PlainTextResponse("log out with the button of this page\n", 403)
        await run_in_threadpool(sessions.close, session_key(request.cookies))
        response = RedirectResponse(f"{LOGIN_PATH}?out", 303)
        response.delete_cookie(SECURE_COOKIE, secure=True, httponly=True, samesite="lax")
        response.delete_cookie(COOKIE, httponly=True, samesite="lax")
        return response

    return [
        Route(LOGIN_PATH, show, methods=["GET"]),
        Route(LOGIN_PATH, log_in, methods=["POST"]),
        Route(LOGOUT_PATH, log_out, methods=["POST"]),
    ]


async def _form(request: Request) -> dict[str, str]:
    """The fields of a posted form; none where it is too long to be one of ours."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_FORM_BYTES:
            return {}
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0] for name, values in fields.items()}


def _inside(wanted: str) -> str:
    """The page to go on to, which is one of ours: `//` and `/\\` would lead to another host."""
    return wanted if re.fullmatch(r"/(?![/\\])[!-\[\]-~]*", wanted) else "/"


def _status(error: TwinError) -> int:
    return 503 if isinstance(error, Unavailable) else 401


def _sentence(error: TwinError) -> str:
    if isinstance(error, SignInNeeded):
        return "That name and password do not belong together. Check both and try again."
    return sentence(error.message)
