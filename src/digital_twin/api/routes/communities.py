"""Communities."""

from typing import Annotated, Any

from fastapi import Query, Request, Response

from digital_twin.api.cursors import from_cursor, to_cursor
from digital_twin.api.etags import expected_version, or_precondition_failed, set_etag
from digital_twin.api.route import GrantDep, TwinDep, requires, twin_router
from digital_twin.api.schemas.communities import (
    CommunityAnswer,
    CommunityBody,
    CommunityChange,
    CommunityPage,
    PageQuery,
    SharingBody,
)
from digital_twin.services.access import Permission
from digital_twin.services.ports import StoredCommunity

router = twin_router("communities")


@router.post("/communities", status_code=201, **requires(Permission.COMMUNITIES_CREATE))
async def create_community(body: CommunityBody, twin: TwinDep, grant: GrantDep, response: Response) -> CommunityAnswer:
    """Create a community; the eight numbers of the example are enough to forecast and plan."""
    stored = await twin.communities.create(grant.caller, body.to_domain())
    response.headers["Location"] = f"/communities/{stored.community.community_id}"
    return _answer(stored, response)


@router.get("/communities", **requires(Permission.COMMUNITIES_LIST))
async def list_communities(twin: TwinDep, grant: GrantDep, query: Annotated[PageQuery, Query()]) -> CommunityPage:
    """Your communities, or all of them for an administrator."""
    page = await twin.communities.page(grant.caller, after=from_cursor(query.cursor), limit=query.limit)
    full = len(page) == query.limit
    return CommunityPage(
        communities=[CommunityAnswer.from_stored(stored) for stored in page],
        next=to_cursor(page[-1].community.community_id) if full else None,
    )


@router.get("/communities/{community_id}", **requires(Permission.COMMUNITY_READ))
async def get_community(community_id: str, twin: TwinDep, grant: GrantDep, response: Response) -> CommunityAnswer:
    """One community with its ETag."""
    return _answer(await twin.communities.get(grant), response)


@router.put("/communities/{community_id}", **requires(Permission.COMMUNITY_WRITE))
async def replace_community(
    community_id: str, body: CommunityChange, twin: TwinDep, grant: GrantDep, request: Request, response: Response
) -> CommunityAnswer:
    """Replace its numbers, with If-Match only the version that you saw; what was read may be sent back as it was."""
    stored, expected = await twin.communities.get(grant), expected_version(request)
    if expected in (None, stored.version):  # else somebody was faster, which is what shall be answered
        body.check_unchanged(stored)
    change: Any = twin.communities.replace(grant, body.to_domain(), expected_version=expected)
    return _answer(await or_precondition_failed(request, change), response)


@router.put("/communities/{community_id}/sharing", **requires(Permission.COMMUNITY_WRITE))
async def put_sharing(
    community_id: str, body: SharingBody, twin: TwinDep, grant: GrantDep, request: Request, response: Response
) -> CommunityAnswer:
    """Set the rule by which members share energy, and its prices."""
    change: Any = twin.communities.share_by(grant, body.to_domain(), expected_version=expected_version(request))
    return _answer(await or_precondition_failed(request, change), response)


@router.delete("/communities/{community_id}", status_code=204, **requires(Permission.COMMUNITY_DELETE))
async def delete_community(community_id: str, twin: TwinDep, grant: GrantDep, request: Request) -> None:
    """Delete it with everything it holds: members, readings and results."""
    await or_precondition_failed(request, twin.communities.delete(grant, expected_version=expected_version(request)))


def _answer(stored: StoredCommunity, response: Response) -> CommunityAnswer:
    set_etag(response, stored.version)
    return CommunityAnswer.from_stored(stored)
