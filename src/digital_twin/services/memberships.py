"""Memberships: who has which right in a community."""

from dataclasses import replace

from digital_twin.domain.errors import InvalidInput, NotFound
from digital_twin.services.access import Grant, Role
from digital_twin.services.ports import Membership, Store, Transaction


class MembershipService:
    """Use cases around memberships; the route's permission says who may."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def memberships(self, grant: Grant) -> list[Membership]:
        async with self._store.platform() as tx:
            return await tx.accounts.memberships(community_id=str(grant.community_id))

    async def put(self, grant: Grant, wanted: Membership) -> Membership:
        """Add or replace one, found by its username.

        Raises:
            NotFound: there is no such account, or no such member.
            InvalidInput: a right over one member's own data that is more than to view it.
        """
        if wanted.member_id is not None and wanted.role != Role.VIEWER:
            raise InvalidInput("a membership bound to a member_id must have the role viewer", field="role")
        community_id = str(grant.community_id)
        if wanted.member_id is not None:
            async with self._store.community(community_id) as tx:
                if wanted.member_id not in {member.member_id for member in await tx.members.members()}:
                    raise NotFound("there is no member of this id; add it with POST .../members")
        async with self._store.platform() as tx:
            account_id = await _account_id(tx, wanted.username)
            membership = replace(wanted, account_id=account_id, community_id=community_id)
            await tx.accounts.put_membership(membership)
        return membership

    async def remove(self, grant: Grant, username: str) -> None:
        """Raises NotFound."""
        async with self._store.platform() as tx:
            await tx.accounts.remove_membership(await _account_id(tx, username), str(grant.community_id))


async def _account_id(tx: Transaction, username: str) -> int:
    account = await tx.accounts.by_username(username)
    if account is None:
        raise NotFound("there is no account of this name")
    return account.account_id
