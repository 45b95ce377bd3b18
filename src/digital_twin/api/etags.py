"""Strong ETags over versions, and the If-Match that protects a change."""

from typing import Any

from fastapi import Request, Response

from digital_twin.api.problems import HttpProblem
from digital_twin.domain.errors import Conflict


def set_etag(response: Response, version: int) -> None:
    response.headers["ETag"] = f'"{version}"'


def expected_version(request: Request) -> int | None:
    """The version that If-Match demands, None without one or with `*`.

    Raises:
        HttpProblem: 412 when the header holds no version of ours.
    """
    given = request.headers.get("if-match")
    if given is None or given.strip() == "*":
        return None
    version = given.strip().removeprefix('"').removesuffix('"')
    if not (version.isascii() and version.isdigit() and len(version) <= 18):
        raise HttpProblem(412, "If-Match must be the ETag of the version that you mean to change")
    return int(version)


async def or_precondition_failed(request: Request, change: Any) -> Any:
    """A conflict of versions is HTTP's 412 when the caller asked for one."""
    try:
        return await change
    except Conflict as error:
        if "if-match" in request.headers:
            raise HttpProblem(412, error.message) from error
        raise
