"""Is it alive, is it ready, which version, what does it measure, and what do its problems mean."""

import asyncio

from fastapi import Response

from digital_twin.api.problems import STATUS_OF
from digital_twin.api.route import TwinDep, requires, twin_router
from digital_twin.api.schemas.operation import Alive, Ready, VersionAnswer
from digital_twin.domain.errors import NotFound
from digital_twin.services.access import Permission
from digital_twin.services.provenance import CODE_VERSION
from digital_twin.telemetry import DATABASE_READY, METRICS_CONTENT_TYPE, metrics_text

router = twin_router("operation")


@router.get("/health/live", **requires(Permission.PUBLIC))
async def live() -> Alive:
    """The process answers."""
    return Alive()


@router.get("/health/ready", responses={503: {"model": Ready}}, **requires(Permission.PUBLIC))
async def ready(twin: TwinDep, response: Response) -> Ready:
    """Everything it needs answers; 503 otherwise. Without Redis or messages from a broker all goes on."""
    database, redis = await asyncio.gather(twin.store.is_ready(), twin.limiter.is_shared())
    settings = twin.settings
    mqtt = None if settings.mqtt_url is None else database and await twin.ingest.is_taking(settings.mqtt_client_id)
    DATABASE_READY.set(database)
    response.status_code = 200 if database else 503
    return Ready(status="ready" if database else "not_ready", database=database, redis=redis, mqtt=mqtt)


@router.get("/version", **requires(Permission.PUBLIC))
async def version(twin: TwinDep) -> VersionAnswer:
    """What runs here."""
    return VersionAnswer(name="digital-twin", version=CODE_VERSION, environment=twin.settings.environment.value)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    **requires(Permission.PUBLIC),
)
async def metrics() -> Response:
    """Prometheus metrics."""
    return Response(metrics_text(), media_type=METRICS_CONTENT_TYPE)


@router.get(
    "/problems/{kind}",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    **requires(Permission.PUBLIC),
)
async def explain_problem(kind: str) -> Response:
    """What a problem's `type` means."""
    for error, status in STATUS_OF.items():
        if error.kind == kind:
            return Response(f"{kind} ({int(status)})\n\n{error.__doc__}\n", media_type="text/plain")
    raise NotFound("there is no problem of this kind")
