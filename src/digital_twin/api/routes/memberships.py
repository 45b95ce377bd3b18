"""Who has which right in a community."""

from digital_twin.api.route import GrantDep, TwinDep, requires, twin_router
from digital_twin.api.schemas.accounts import MembershipAnswer, MembershipBody, MembershipList
from digital_twin.services.access import Permission
from digital_twin.services.ports import Membership

router = twin_router("access")


@router.get("/communities/{community_id}/memberships", **requires(Permission.MEMBERSHIPS_MANAGE))
async def list_memberships(community_id: str, twin: TwinDep, grant: GrantDep) -> MembershipList:
    """Everyone with a right in this community."""
    found = await twin.memberships.memberships(grant)
    return MembershipList(memberships=[MembershipAnswer.from_membership(one) for one in found])


@router.put("/communities/{community_id}/memberships", **requires(Permission.MEMBERSHIPS_MANAGE))
async def put_membership(community_id: str, body: MembershipBody, twin: TwinDep, grant: GrantDep) -> MembershipAnswer:
    """Give or change one account's right; it holds at once."""
    wanted = Membership(0, body.username, community_id, body.role, body.member_id, body.valid_from, body.valid_until)
    return MembershipAnswer.from_membership(await twin.memberships.put(grant, wanted))


@router.delete(
    "/communities/{community_id}/memberships/{username}", status_code=204, **requires(Permission.MEMBERSHIPS_MANAGE)
)
async def remove_membership(community_id: str, username: str, twin: TwinDep, grant: GrantDep) -> None:
    """Take an account's right away; it holds at once."""
    await twin.memberships.remove(grant, username)
