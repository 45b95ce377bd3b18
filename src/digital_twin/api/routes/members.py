"""Members and assets of a community."""

from digital_twin.api.route import GrantDep, TwinDep, requires, twin_router
from digital_twin.api.schemas.members import (
    AssetBody,
    AssetsAnswer,
    AssetsBody,
    MemberBody,
    MembersAnswer,
    MembersBody,
    PutAnswer,
)
from digital_twin.services.access import Permission

router = twin_router("members")


@router.post("/communities/{community_id}/members", status_code=201, **requires(Permission.MEMBERS_WRITE))
async def put_members(community_id: str, body: MembersBody, twin: TwinDep, grant: GrantDep) -> PutAnswer:
    """Add members, or replace those of the same id."""
    counts = await twin.members.put_members(grant, [member.to_domain() for member in body.members])
    return PutAnswer(received=counts.received, created=counts.created)


@router.get("/communities/{community_id}/members", **requires(Permission.MEMBERS_READ))
async def list_members(community_id: str, twin: TwinDep, grant: GrantDep) -> MembersAnswer:
    """All members."""
    return MembersAnswer(members=[MemberBody.from_domain(member) for member in await twin.members.members(grant)])


@router.post("/communities/{community_id}/assets", status_code=201, **requires(Permission.MEMBERS_WRITE))
async def put_assets(community_id: str, body: AssetsBody, twin: TwinDep, grant: GrantDep) -> PutAnswer:
    """Add assets of members or of the community itself, or replace those of the same id."""
    counts = await twin.members.put_assets(grant, [asset.to_domain() for asset in body.assets])
    return PutAnswer(received=counts.received, created=counts.created)


@router.get("/communities/{community_id}/assets", **requires(Permission.MEMBERS_READ))
async def list_assets(community_id: str, twin: TwinDep, grant: GrantDep) -> AssetsAnswer:
    """All assets."""
    return AssetsAnswer(assets=[AssetBody.from_domain(asset) for asset in await twin.members.assets(grant)])
