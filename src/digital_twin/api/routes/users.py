"""Accounts in the hands of administrators, and invites."""

from typing import Annotated

from fastapi import Path, Query

from digital_twin.api.cursors import from_cursor, to_cursor
from digital_twin.api.route import GrantDep, TwinDep, requires, twin_router
from digital_twin.api.schemas.accounts import AccountAnswer, InviteAnswer, InviteBody, UserPage, UserPatch
from digital_twin.api.schemas.communities import PageQuery
from digital_twin.api.schemas.model import PLAIN_DIGITS
from digital_twin.domain.errors import InvalidInput
from digital_twin.services.access import Permission, Role

router = twin_router("access")

AccountId = Annotated[int, PLAIN_DIGITS, Path(ge=1, le=2**62)]


@router.get("/users", **requires(Permission.USERS_MANAGE))
async def list_users(twin: TwinDep, grant: GrantDep, query: Annotated[PageQuery, Query()]) -> UserPage:
    """All accounts in the order they were made."""
    after = from_cursor(query.cursor) or "0"
    if not (after.isascii() and after.isdigit() and len(after) < 19):
        raise InvalidInput("cursor must be the `next` of an earlier page", field="cursor")
    page = await twin.accounts.page(after=int(after), limit=query.limit)
    full = len(page) == query.limit
    return UserPage(
        users=[AccountAnswer.from_account(account) for account in page],
        next=to_cursor(str(page[-1].account_id)) if full else None,
    )


@router.patch("/users/{account_id}", **requires(Permission.USERS_MANAGE))
async def change_user(account_id: AccountId, body: UserPatch, twin: TwinDep, grant: GrantDep) -> AccountAnswer:
    """Grant a role, deactivate or reactivate; it holds at once."""
    role = None if body.role is None else Role(body.role)
    return AccountAnswer.from_account(await twin.accounts.change(account_id, role=role, active=body.active))


@router.post("/invites", status_code=201, **requires(Permission.INVITES_CREATE, has_secrets=True))
async def create_invite(body: InviteBody, twin: TwinDep, grant: GrantDep) -> InviteAnswer:
    """Invite someone: the token works once, within a week."""
    token, invite = await twin.accounts.invite(
        grant.caller, role=Role(body.role), community_id=body.community_id, member_id=body.member_id
    )
    return InviteAnswer.model_validate(
        {
            "invite_token": token,
            "role": invite.role,
            "community_id": invite.community_id,
            "member_id": invite.member_id,
            "expires_at": invite.expires_at,
        }
    )
