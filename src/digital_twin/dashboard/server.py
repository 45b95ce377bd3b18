"""The dashboard as one ASGI application: log-in, guard and Streamlit's pages."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from streamlit.starlette import App

from digital_twin.dashboard.guard import Guard
from digital_twin.dashboard.login import login_routes
from digital_twin.dashboard.session import SESSIONS

SCRIPT = Path(__file__).with_name("app.py")


def create_app(api_url: str, *, allowed_hosts: Sequence[str] = ("*",)) -> Guard:
    """The dashboard of the API at this address. Streamlit's own settings stand in `.streamlit/config.toml`."""

    @asynccontextmanager
    async def end_sessions(_: Any) -> AsyncGenerator[None, None]:
        yield
        await run_in_threadpool(SESSIONS.close_all)

    pages = App(SCRIPT, routes=login_routes(SESSIONS, api_url), lifespan=end_sessions)
    return Guard(pages, SESSIONS, allowed_hosts=allowed_hosts)
