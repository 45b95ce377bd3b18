"""How every route of the API behaves: permission first, strict input, unknown parameters refused, replays honoured."""

import hashlib
import json
from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.responses import Response

from digital_twin.api.accept import preferred
from digital_twin.api.auth import authenticate
from digital_twin.api.problems import HttpProblem
from digital_twin.bootstrap import Twin
from digital_twin.domain.errors import Conflict, InvalidInput, NotFound
from digital_twin.domain.identifiers import is_identifier
from digital_twin.services.access import Caller, Grant, Permission, unknown_community
from digital_twin.services.ports import Replay

PERMISSION = "x-required-permission"
OWN_REPLAYS = "x-keeps-idempotency-keys-with-its-data"
NO_REPLAYS = "x-takes-no-idempotency-key"
IDEMPOTENCY_KEY = "idempotency-key"
MAX_IDEMPOTENCY_KEY = 128


def requires(permission: Permission, *, own_replays: bool = False, has_secrets: bool = False) -> dict[str, Any]:
    """What a route's decorator takes to declare its permission.

    With `own_replays` the use case commits the Idempotency-Key together with its data, so that not even a kill between
    the two leaves the key in doubt. A route that `has_secrets` in its body or answer takes no Idempotency-Key, because
    the answer and a fast hash of the body would be kept for the replay.
    """
    security = [] if permission is Permission.PUBLIC else [{"bearer": []}, {"api_key": []}]
    extra: dict[str, Any] = {PERMISSION: str(permission), "security": security}
    if own_replays:
        extra[OWN_REPLAYS] = True
    if has_secrets:
        extra[NO_REPLAYS] = True
    return {"openapi_extra": extra}


class StrictRequest(Request):
    """A request whose JSON is really JSON: no NaN, no infinity, no lone surrogates, no name twice, bounded depth."""

    async def json(self) -> Any:
        body = await self.body()
        document = orjson.loads(body)
        json.loads(body, object_pairs_hook=_refuse_doubles)  # only now: its parser knows no bounds
        return document


def _refuse_doubles(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise HttpProblem(400, "an object in the body has the same name twice")


class TwinRoute(APIRoute):
    """The one kind of route."""

    @property
    def permission(self) -> Permission:
        """The permission that the route declares."""
        declared = (self.openapi_extra or {}).get(PERMISSION)
        if declared is None:
            raise RuntimeError(f"route {self.path} declares no permission; add **requires(Permission...)")
        return Permission(declared)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler behind the house's own checks."""
        handle = super().get_route_handler()
        permission = self.permission
        extra = self.openapi_extra or {}
        produced = _media_types(self)
        has_query_model = bool(self.dependant.query_params)  # which refuses unknown parameters itself

        async def checked(request: Request) -> Response:
            strict = StrictRequest(request.scope, request.receive)
            grant = await _permit(strict, permission)
            strict.state.grant = grant
            _check_parameters(strict, any_allowed=has_query_model)
            _check_accept(strict, produced)
            if self.body_field is not None:
                _refuse_other_content(strict)
            key = strict.headers.get(IDEMPOTENCY_KEY)
            if key is None or strict.method != "POST" or grant is None:
                return await handle(strict)
            _check_key(key, allowed=NO_REPLAYS not in extra)
            if OWN_REPLAYS in extra:
                return await handle(strict)
            return await _once(strict, handle, grant.caller, key)

        return checked


def twin_router(tag: str) -> APIRouter:
    """A router for one noun."""
    return APIRouter(route_class=TwinRoute, tags=[tag])


def check_every_route_declares_its_permission(app: FastAPI) -> None:
    """Refuse to start otherwise."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, APIRoute) and not isinstance(route, TwinRoute):
            raise RuntimeError(f"route {route.path} bypasses the permission check; build its router with twin_router")


def twin_of(request: Request) -> Twin:
    """The wired application."""
    return request.app.state.twin


def grant_of(request: Request) -> Grant:
    """The right under which this request runs."""
    return request.state.grant


TwinDep = Annotated[Twin, Depends(twin_of)]
GrantDep = Annotated[Grant, Depends(grant_of)]


async def _permit(request: Request, permission: Permission) -> Grant | None:
    if permission is Permission.PUBLIC:
        return None
    caller = await authenticate(request)
    community_id = request.path_params.get("community_id")
    if community_id is not None and not is_identifier(community_id):
        raise unknown_community()
    if "run_id" in request.path_params:
        return await _permit_run(twin_of(request), caller, permission, request.path_params["run_id"])
    return await twin_of(request).access.check(caller, permission, community_id)


async def _permit_run(twin: Twin, caller: Caller, permission: Permission, run_id: str) -> Grant:
    """The right to a Run is that in its community; another's looks like one that does not exist."""
    try:
        community_id = await twin.runs.community_of(str(UUID(run_id)))
        if community_id is None:
            raise unknown_community()
        return await twin.access.check(caller, permission, community_id)
    except (ValueError, NotFound) as error:
        raise NotFound("there is no run of this id that you may see") from error


def _check_parameters(request: Request, *, any_allowed: bool) -> None:
    if request.query_params and not any_allowed:
        raise RequestValidationError(
            [{"type": "unknown", "loc": ("query",), "msg": "this address takes no query parameters"}]
        )
    if len(request.query_params.multi_items()) != len(request.query_params):
        raise RequestValidationError(
            [{"type": "double", "loc": ("query",), "msg": "each query parameter may be given once"}]
        )
    for part in (*request.query_params.values(), *request.path_params.values()):
        if "\x00" in part:
            raise InvalidInput("addresses must not contain NUL")


def _refuse_other_content(request: Request) -> None:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    if has_body and content_type != "application/json":
        raise HttpProblem(415, "send the body as application/json")


def _media_types(route: APIRoute) -> set[str]:
    """What a route's answers may be; empty when they have no body."""
    if route.status_code == 204:
        return set()
    declared = set(route.responses.get(200, {}).get("content", {}))
    return declared if route.response_model is None and declared else declared | {"application/json"}


def _check_accept(request: Request, produced: set[str]) -> None:
    if produced and preferred(request.headers.get("accept"), sorted(produced)) is None:
        raise HttpProblem(406, f"ask for {' or '.join(sorted(produced))}")


def _check_key(key: str, *, allowed: bool) -> None:
    if not allowed:
        raise InvalidInput("this address takes no Idempotency-Key: secrets are not kept for a replay; leave it out")
    if not (0 < len(key) <= MAX_IDEMPOTENCY_KEY and key.isascii() and key.isprintable()):
        raise InvalidInput(f"Idempotency-Key must be 1 to {MAX_IDEMPOTENCY_KEY} printable ASCII characters")


async def _once(
    request: StrictRequest, handle: Callable[[Request], Coroutine[Any, Any, Response]], caller: Caller, key: str
) -> Response:
    """Run the request once per key; the same key and body replay the first answer."""
    scope = f"{caller.account_id} {request.method} {request.url.path}"
    fingerprint = hashlib.sha256(await request.body()).digest()
    store, community_id = twin_of(request).store, request.path_params.get("community_id")
    async with store.platform() if community_id is None else store.community(community_id) as tx:
        claimed = await tx.replays.claim(scope, key, fingerprint)
        earlier = None if claimed else await tx.replays.find(scope, key)
    if not claimed:
        return _replayed(earlier, fingerprint)
    try:
        response = await handle(request)
    except BaseException:
        async with store.platform() as tx:
            await tx.replays.release(scope, key)
        raise
    headers = {name: value for name, value in response.headers.items() if name in ("content-type", "location", "etag")}
    replay = Replay(fingerprint, response.status_code, headers, bytes(response.body))
    async with store.platform() as tx:
        await tx.replays.finish(scope, key, replay)
    return response


def _replayed(earlier: Replay | None, fingerprint: bytes) -> Response:
    if earlier is not None and earlier.fingerprint != fingerprint:
        raise InvalidInput("this Idempotency-Key was used with another body; use a new key for a new request")
    if earlier is None or not earlier.status:
        raise Conflict("a request with this Idempotency-Key is still being worked on; ask again soon", retry_after_s=1)
    return Response(
        earlier.body, status_code=earlier.status, headers={**earlier.headers, "idempotent-replayed": "true"}
    )
