"""Invites: what they may promise, and whether the promise still holds when they are used."""

from datetime import datetime

from digital_twin.domain.errors import InvalidInput, NotAllowed, NotFound
from digital_twin.services.access import Caller, Role, unknown_community
from digital_twin.services.ports import Account, Clock, Invite, Membership, Store, Transaction

INVALID = "this invite is unknown, used or expired; ask for a new one"


async def check_may_invite(store: Store, clock: Clock, caller: Caller, invite: Invite) -> None:
    """Whether the caller may make this promise.

    Raises:
        InvalidInput: its role or its member do not fit its community.
        NotFound: there is no such community or member.
        NotAllowed: the role is above what the caller may grant.
    """
    if caller.role is not Role.ADMIN:
        if invite.community_id is None or invite.role == Role.ADMIN:
            raise NotAllowed("an operator invites into a community of their own, and never an administrator")
        async with store.platform() as tx:
            if not await _operates(tx, caller.account_id, invite.community_id, clock.now()):
                raise unknown_community()
    if invite.community_id is None:
        if invite.member_id is not None:
            raise InvalidInput("a member_id needs its community_id", field="community_id")
        return
    if invite.role == Role.ADMIN:
        raise InvalidInput("an administrator is one of the whole platform; leave community_id out", field="role")
    if invite.member_id is not None and invite.role != Role.VIEWER:
        raise InvalidInput("an invite bound to a member_id must have the role viewer", field="role")
    async with store.community(invite.community_id) as tx:
        if invite.member_id is not None and invite.member_id not in {
            one.member_id for one in await tx.members.members()
        }:
            raise NotFound("there is no member of this id; add it with POST .../members")


async def check_still_backed(tx: Transaction, invite: Invite, now: datetime) -> None:
    """An invite is worth what its author may still give; the setup token, while nobody administers.

    Raises:
        NotFound: it is worth nothing any more.
    """
    if invite.created_by is None:
        if await tx.accounts.count_admins():
            raise NotFound("the setup token is no longer valid: this installation has an administrator")
        return
    author = await tx.accounts.by_id(invite.created_by)
    if author is None or not author.active:
        raise NotFound(INVALID)
    if author.role == Role.ADMIN:
        return
    may = author.role == Role.OPERATOR and invite.community_id is not None and invite.role != Role.ADMIN
    if not may or not await _operates(tx, author.account_id, str(invite.community_id), now):
        raise NotFound(INVALID)


async def join(tx: Transaction, account: Account, invite: Invite) -> None:
    """The membership that the invite promises. Raises NotFound when its community is gone."""
    assert invite.community_id is not None
    await tx.accounts.put_membership(
        Membership(account.account_id, account.username, invite.community_id, invite.role, invite.member_id)
    )


async def _operates(tx: Transaction, account_id: int, community_id: str, now: datetime) -> bool:
    found = await tx.accounts.memberships(account_id=account_id, community_id=community_id)
    return any(one.role == Role.OPERATOR and one.member_id is None and one.holds_at(now) for one in found)
