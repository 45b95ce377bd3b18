"""How long a community keeps readings, and the erasure of a member."""

from digital_twin.api.route import GrantDep, TwinDep, requires, twin_router
from digital_twin.api.schemas.keeping import ErasedAnswer, RetentionAnswer, RetentionBody
from digital_twin.services.access import Permission

router = twin_router("keeping")


@router.get("/communities/{community_id}/retention", **requires(Permission.COMMUNITY_READ))
async def get_retention(community_id: str, twin: TwinDep, grant: GrantDep) -> RetentionAnswer:
    """How long readings are kept, and what was known of them when."""
    return RetentionAnswer.from_domain(await twin.keeping.retention(grant))


@router.put("/communities/{community_id}/retention", **requires(Permission.COMMUNITY_DELETE))
async def put_retention(community_id: str, body: RetentionBody, twin: TwinDep, grant: GrantDep) -> RetentionAnswer:
    """Keep readings and journal so long from now on; what is older is removed within the hour, for good.

    Sums over five homes or more stay. Questions as of an instant before `journal_days` are refused.
    """
    return RetentionAnswer.from_domain(await twin.keeping.retain(grant, body.to_domain()))


@router.delete("/communities/{community_id}/members/{member_id}", **requires(Permission.MEMBERS_ERASE))
async def erase_member(community_id: str, member_id: str, twin: TwinDep, grant: GrantDep) -> ErasedAnswer:
    """Erase a member with their readings, assets and everything that names them, for good.

    Sums over five homes or more stay. 409 while a Run of the community is not done.
    """
    return ErasedAnswer.from_domain(member_id, await twin.keeping.erase_member(grant, member_id))
