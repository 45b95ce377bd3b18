"""What happens in a community, as server-sent events (WHATWG HTML, section 9.2)."""

from collections.abc import AsyncGenerator

import orjson
from fastapi import Request
from starlette.responses import StreamingResponse

from digital_twin.api.route import GrantDep, TwinDep, requires, twin_router
from digital_twin.domain.errors import InvalidInput
from digital_twin.services.access import Permission
from digital_twin.services.ports import Event

router = twin_router("events")

EVENT_STREAM = "text/event-stream"
LAST_EVENT_ID = "last-event-id"
_DIGITS = 18

_DOCUMENTED = {
    "content": {EVENT_STREAM: {"schema": {"type": "string"}}},
    "description": "`id`, `event` (state, alert, run, schedule) and `data` (JSON) of each; a comment every 15 seconds",
}


@router.get(
    "/communities/{community_id}/events",
    response_class=StreamingResponse,
    response_model=None,
    responses={200: _DOCUMENTED},
    **requires(Permission.COMMUNITY_READ),
)
async def stream_events(community_id: str, request: Request, twin: TwinDep, grant: GrantDep) -> StreamingResponse:
    """Events as they come; with Last-Event-ID those of the last day that came after it first."""
    given = request.headers.get(LAST_EVENT_ID)
    if given is not None and not (given.isascii() and given.isdigit() and len(given) <= _DIGITS):
        raise InvalidInput("Last-Event-ID must be the id of an event of this stream")
    after = await twin.events.position(grant) if given is None else int(given)

    async def lines() -> AsyncGenerator[bytes, None]:
        yield b"retry: 2000\n\n"
        async for event in twin.events.follow(grant, after):
            yield b": still here\n\n" if event is None else _line(event)

    return StreamingResponse(lines(), media_type=EVENT_STREAM, headers={"X-Accel-Buffering": "no"})


def _line(event: Event) -> bytes:
    data = orjson.dumps({"at": event.at, **event.document})
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.event_id, event.kind.encode(), data)
