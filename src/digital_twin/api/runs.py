"""The answer to a request that became a Run: 202 and where to look, or the finished Run to who holds the line."""

import re
from typing import Any

from fastapi import Request, Response

from digital_twin.api.schemas.runs import RunAnswer
from digital_twin.bootstrap import Twin
from digital_twin.services.ports import Run

ACCEPTED: dict[int | str, dict[str, Any]] = {202: {"model": RunAnswer, "description": "A Run that Location names"}}
"""What a route declares that may answer with a Run."""

LONGEST_WAIT_S = 60
RETRY_AFTER_S = 1
_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*(\d{1,4})\s*(?:$|[,;])", re.IGNORECASE)


async def accepted(twin: Twin, run: Run, request: Request, response: Response) -> RunAnswer:
    """The Run; with `Prefer: wait=20` (RFC 7240) as it stands when it has ended or the time is over."""
    waited = preferred_wait_s(request)
    if waited:
        run = await twin.runs.wait(run, waited)
    response.status_code = 202
    response.headers["Location"] = f"/runs/{run.run_id}"
    if not run.state.has_ended:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return RunAnswer.from_run(run)


def prefers_a_run(request: Request) -> bool:
    """Whether the caller asks to go on with other things meanwhile: `Prefer: respond-async`."""
    return prefers(request, "respond-async")


def prefers(request: Request, preference: str) -> bool:
    """Whether a preference is among those of `Prefer` (RFC 7240), such as `handling=lenient`."""
    wishes = re.split(r"[,;]", request.headers.get("prefer", ""))
    return any(re.sub(r"\s|\"", "", wish).lower() == preference for wish in wishes)


def preferred_wait_s(request: Request) -> int:
    """How long the caller would hold the line; 0 without the preference."""
    found = _WAIT.search(request.headers.get("prefer", ""))
    return min(int(found.group(1)), LONGEST_WAIT_S) if found else 0
