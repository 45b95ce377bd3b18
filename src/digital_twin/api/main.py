"""`uvicorn digital_twin.api.main:app`."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.types import ASGIApp

from digital_twin.api.docs import add_docs
from digital_twin.api.envelope import Envelope
from digital_twin.api.openapi import complete
from digital_twin.api.problems import add_problem_handlers
from digital_twin.api.route import check_every_route_declares_its_permission
from digital_twin.api.routes import (
    active_schedules,
    auth,
    backtests,
    communities,
    events,
    feeds,
    fleet,
    forecast_accuracy,
    forecasts,
    keeping,
    kpis,
    members,
    memberships,
    meters,
    operation,
    patterns,
    quality,
    readings,
    runs,
    schedules,
    simulations,
    states,
    tariffs,
    topics,
    trade_offs,
    users,
)
from digital_twin.bootstrap import Environment, Settings, Twin, open_children, open_twin, read_settings
from digital_twin.services.provenance import CODE_VERSION
from digital_twin.telemetry import configure_logging

ROUTERS = (
    auth.router,
    users.router,
    memberships.router,
    communities.router,
    members.router,
    keeping.router,
    kpis.router,
    readings.router,
    topics.router,
    quality.router,
    states.router,
    meters.router,
    forecasts.router,
    forecast_accuracy.router,
    backtests.router,
    patterns.router,
    schedules.router,
    active_schedules.router,
    trade_offs.router,
    fleet.router,
    simulations.router,
    tariffs.router,
    runs.router,
    events.router,
    feeds.router,
    operation.router,
)


def create_app(settings: Settings | None = None, twin: AbstractAsyncContextManager[Twin] | None = None) -> ASGIApp:
    """The application; tests hand in a wired twin, otherwise it is wired from the settings at start."""
    settings = settings or read_settings()
    configure_logging(settings.log_level)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
        settings.upload_folder.mkdir(parents=True, exist_ok=True)
        app.state.uploads = settings.upload_folder
        async with twin or _open(settings) as wired:
            app.state.twin = wired
            yield

    in_development = settings.environment is Environment.DEVELOPMENT
    app = FastAPI(
        title="Digital twin of energy communities",
        version=CODE_VERSION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json" if in_development else None,
        redirect_slashes=False,
    )
    for router in ROUTERS:
        app.include_router(router)
    check_every_route_declares_its_permission(app)
    if in_development:
        add_docs(app)
    add_problem_handlers(app)
    _describe(app)
    hosts = [host.strip() for host in settings.allowed_hosts.split(",")]
    return Envelope(
        app,
        max_body_bytes=settings.max_body_mib * 2**20,
        max_streamed_bytes=settings.max_streamed_body_mib * 2**20,
        allowed_hosts=hosts,
    )


@asynccontextmanager
async def _open(settings: Settings) -> AsyncGenerator[Twin, None]:
    """The twin with the processes that belong to it."""
    async with open_twin(settings) as twin, open_children(settings):
        yield twin


def _describe(app: FastAPI) -> None:
    """Complete the OpenAPI document with what holds for every operation."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, routes=app.routes)
            app.openapi_schema = complete(document)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def __getattr__(name: str) -> ASGIApp:
    """`app` is made when a server asks for it, so that importing this module reads no settings."""
    if name == "app":
        return create_app()
    raise AttributeError(name)
