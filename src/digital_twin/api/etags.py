"""Strong ETags over versions, and the If-Match that protects a change."""

from fastapi import Request, Response

from digital_twin.api.problems import HttpProblem


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
