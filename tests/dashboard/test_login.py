"""The way in: nobody without a session, no token in the browser, nothing for other sites, no session for ever."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from digital_twin.client import SignInNeeded, Tokens
from digital_twin.dashboard.guard import COOKIE, SECURE_COOKIE, Guard, session_key
from digital_twin.dashboard.login import login_routes
from digital_twin.dashboard.session import LIFETIME_S, Sessions
from digital_twin.domain.errors import Unavailable

PASSWORD = "correct horse battery"
FORM = {"username": "ada", "password": PASSWORD}
BROWSER = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}


class FakeTwin:
    """An API that knows one account."""

    made: list["FakeTwin"]

    def __init__(self, url: str, *, forwarded_for: str | None = None) -> None:
        self.url, self.forwarded_for = url, forwarded_for
        self.is_signed_in = self.is_closed = False
        FakeTwin.made.append(self)

    def login(self, username: str, password: str) -> Tokens:
        if self.url.endswith("down"):
            raise Unavailable("no answer from the API; is the server running?")
        if (username, password) != ("ada", PASSWORD):
            raise SignInNeeded("wrong")
        self.is_signed_in = True
        return Tokens("access-secret", "refresh-secret")

    def me(self) -> dict[str, Any]:
        return {"username": "ada"}

    def logout(self) -> None:
        self.is_signed_in = False

    def close(self) -> None:
        self.is_closed = True


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(autouse=True)
def _fresh() -> None:
    FakeTwin.made = []


async def page(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"the page for {session_key(request.cookies)}")


async def stream(websocket: WebSocket) -> None:
    await websocket.accept()


def application(clock: Clock | None = None, *, url: str = "http://api", hosts: tuple[str, ...] = ("*",)) -> Guard:
    sessions = Sessions(clock or Clock(), FakeTwin)  # type: ignore[arg-type]
    routes = [*login_routes(sessions, url), Route("/{path:path}", page), WebSocketRoute("/_stcore/stream", stream)]
    return Guard(Starlette(routes=routes), sessions, allowed_hosts=hosts)


@asynccontextmanager
async def browser(app: Guard, *, scheme: str = "http") -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, client=("192.0.2.7", 1))
    async with httpx.AsyncClient(transport=transport, base_url=f"{scheme}://twin.example", headers=BROWSER) as client:
        yield client


async def test_nobody_sees_a_page_without_a_session_and_everybody_comes_back_to_it() -> None:
    async with browser(application()) as client:
        refused = await client.get("/forecast?community=sun")
        assert (refused.status_code, refused.headers["location"]) == (303, "/login?next=%2Fforecast%3Fcommunity%3Dsun")
        assert (await client.get("/media/x", headers={"Accept": "image/png"})).status_code == 401
        shown = await client.post("/login", data=FORM | {"next": "/forecast?community=sun"})
        assert (shown.status_code, shown.headers["location"]) == (303, "/forecast?community=sun")
        assert (await client.get("/forecast")).text.startswith("the page for ")
        assert (await client.get("/login")).headers["location"] == "/"


@pytest.mark.parametrize(("scheme", "name", "is_secure"), [("http", COOKIE, False), ("https", SECURE_COOKIE, True)])
async def test_the_browser_gets_a_cookie_that_scripts_and_other_sites_cannot_use(
    scheme: str, name: str, is_secure: bool
) -> None:
    async with browser(application(), scheme=scheme) as client:
        answer = await client.post("/login", data=FORM)
    cookie = answer.headers["set-cookie"]
    attributes = {part.strip().lower() for part in cookie.split(";")}
    assert cookie.startswith(f"{name}=")
    assert {"httponly", "samesite=lax", "path=/", f"max-age={LIFETIME_S}"} <= attributes
    assert ("secure" in attributes) is is_secure
    assert "secret" not in str(answer.headers)
    assert ("strict-transport-security" in answer.headers) is is_secure


async def test_the_api_is_told_whose_attempt_it_is() -> None:
    async with browser(application()) as client:
        await client.post("/login", data=FORM)
    assert [one.forwarded_for for one in FakeTwin.made] == ["192.0.2.7"]


async def test_a_wrong_password_and_an_api_that_is_away_are_told_in_a_sentence_and_leave_nothing_open() -> None:
    async with browser(application()) as client:
        refused = await client.post("/login", data=FORM | {"password": "wrong", "username": "<b>ada"})
    assert refused.status_code == 401
    assert "do not belong together" in refused.text
    assert "&lt;b&gt;ada" in refused.text
    assert "set-cookie" not in refused.headers
    async with browser(application(url="http://down")) as client:
        away = await client.post("/login", data=FORM)
    assert away.status_code == 503
    assert "No answer from the API" in away.text
    assert all(one.is_closed for one in FakeTwin.made)


async def test_other_sites_can_neither_log_in_nor_out() -> None:
    async with browser(application()) as client:
        await client.post("/login", data=FORM)
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):
            assert (await client.post("/login", data=FORM, headers=headers)).status_code == 403
            assert (await client.post("/logout", headers=headers)).status_code == 403
        del client.headers["Sec-Fetch-Site"]
        assert (await client.post("/logout", headers={"Origin": "http://evil.example"})).status_code == 403
        await client.get("/logout")
        assert (await client.get("/")).status_code == 200
        assert (await client.post("/logout", headers={"Origin": "http://twin.example"})).status_code == 303


async def test_a_log_out_ends_the_session_here_and_at_the_api() -> None:
    async with browser(application()) as client:
        await client.post("/login", data=FORM)
        kept = dict(client.cookies)
        assert (await client.post("/logout")).headers["location"] == "/login?out"
        assert not client.cookies
        assert (await client.get("/", headers={"Cookie": f"{COOKIE}={kept[COOKIE]}"})).status_code == 303
    (twin,) = FakeTwin.made
    assert not twin.is_signed_in
    assert twin.is_closed


async def test_a_new_log_in_ends_the_one_before_it_and_has_another_key() -> None:
    async with browser(application()) as client:
        await client.post("/login", data=FORM)
        first = client.cookies[COOKIE]
        await client.post("/login", data=FORM)
        assert client.cookies[COOKIE] != first
        assert (await client.get("/", headers={"Cookie": f"{COOKIE}={first}"})).status_code == 303
    assert [one.is_closed for one in FakeTwin.made] == [True, False]


async def test_a_session_ends_by_itself() -> None:
    clock = Clock()
    async with browser(application(clock)) as client:
        await client.post("/login", data=FORM)
        clock.now_s = LIFETIME_S - 1
        assert (await client.get("/")).status_code == 200
        clock.now_s = LIFETIME_S
        assert (await client.get("/")).status_code == 303
    assert FakeTwin.made[0].is_closed


async def test_every_answer_tells_the_browser_to_trust_nobody_else() -> None:
    async with browser(application()) as client:
        for answer in (await client.get("/login"), await client.get("/x"), await client.get("/_stcore/metrics")):
            policy = answer.headers["content-security-policy"]
            assert "unsafe-eval" not in policy
            assert "script-src 'self' 'sha256-" in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("path", ["/_stcore/metrics", "/_stcore/agent/openapi.json", "/auth/login"])
async def test_what_no_page_needs_is_not_there_even_with_a_session(path: str) -> None:
    async with browser(application()) as client:
        await client.post("/login", data=FORM)
        assert (await client.get(path)).status_code == 404


async def test_only_named_hosts_are_answered() -> None:
    async with browser(application(hosts=("twin.example", "*.grid.example"))) as client:
        assert (await client.get("/login")).status_code == 200
        for host, status in (("a.grid.example:8501", 200), ("evil.example", 400), ("grid.example.evil", 400)):
            assert (await client.get("/login", headers={"Host": host})).status_code == status


async def test_the_stream_of_a_page_is_closed_to_whoever_has_no_session() -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/_stcore/stream", "headers": [(b"host", b"twin")], "query_string": b""}
    await application()(scope, receive, send)
    assert [(one["type"], one["code"]) for one in sent] == [("websocket.close", 1008)]


@given(st.text(max_size=20), st.sampled_from(["", "/", "//", "/\\", "http:", "https://", "/x?y="]))
async def test_a_log_in_leads_to_our_own_pages_alone(text: str, start: str) -> None:
    FakeTwin.made = []
    async with browser(application()) as client:
        answer = await client.post("/login", data=FORM | {"next": start + text})
    target = urlsplit(httpx.URL("http://twin.example/login").join(answer.headers["location"]).__str__())
    assert target.netloc == "twin.example"


async def test_a_form_that_is_too_long_is_no_log_in() -> None:
    async with browser(application()) as client:
        assert (await client.post("/login", data=FORM | {"next": "x" * 20_000})).status_code == 401


def test_nothing_outside_of_the_package_changes_streamlits_settings(tmp_path: Path) -> None:
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "config.toml").write_text(
        '[browser]\ngatherUsageStats = true\n[client]\nshowErrorDetails = "full"\n'
    )
    code = (
        "from digital_twin.dashboard.server import create_app; create_app('http://127.0.0.1:1')\n"
        "from streamlit import config\n"
        "print(config.get_option('browser.gatherUsageStats'), config.get_option('client.showErrorDetails'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, text=True, capture_output=True, check=True,
        env={**os.environ, "HOME": str(tmp_path), "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "true"},
    )  # fmt: skip
    assert done.stdout.split() == ["False", "none"]
