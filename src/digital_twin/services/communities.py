"""Communities: made, read, changed, left."""

from dataclasses import replace

from digital_twin.domain.community import Community
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.sharing import Sharing
from digital_twin.services.access import Caller, Grant, Role
from digital_twin.services.ports import Membership, Store, StoredCommunity


class CommunityService:
    """Use cases around one community or the list of them."""

    def __init__(self, store: Store, *, max_prosumers: int) -> None:
        self._store = store
        self._max_prosumers = max_prosumers

    async def create(self, caller: Caller, community: Community) -> StoredCommunity:
        """The new community; its creator operates it.

        Raises:
            Conflict: the id is taken.
            InvalidInput: more prosumers than this installation allows.
        """
        self._check_size(community)
        async with self._store.platform() as tx:
            created = await tx.communities.create(community)
            await tx.accounts.put_membership(
                Membership(caller.account_id, caller.username, community.community_id, str(Role.OPERATOR))
            )
        return created

    async def get(self, grant: Grant) -> StoredCommunity:
        """Raises NotFound."""
        community_id = _entered(grant)
        async with self._store.community(community_id) as tx:
            return await tx.communities.get(community_id)

    async def page(self, caller: Caller, *, after: str | None, limit: int) -> list[StoredCommunity]:
        """The caller's communities in the order of their ids: all for an administrator, a key's own for a key."""
        account_id = None if caller.role is Role.ADMIN else caller.account_id
        among = (caller.key_communities or frozenset()) if caller.is_key else None
        async with self._store.platform() as tx:
            return await tx.communities.page(account_id=account_id, after=after, limit=limit, among=among)

    async def replace(self, grant: Grant, community: Community, *, expected_version: int | None) -> StoredCommunity:
        """The community as it is now; the sharing rule stays, it has a use case of its own.

        Raises:
            Conflict: someone else changed it since `expected_version`.
            InvalidInput: another id than the community's own, or too many prosumers.
        """
        community_id = _entered(grant)
        if community.community_id != community_id:
            raise InvalidInput(f"community_id cannot change; it must be {community_id!r}", field="community_id")
        self._check_size(community)
        async with self._store.community(community_id) as tx:
            current = await tx.communities.get(community_id)
            changed = replace(community, sharing=current.community.sharing)
            return await tx.communities.replace(changed, expected_version=_seen(expected_version, current))

    async def share_by(self, grant: Grant, sharing: Sharing, *, expected_version: int | None) -> StoredCommunity:
        """The community under another sharing rule. Raises Conflict as `replace` does."""
        community_id = _entered(grant)
        async with self._store.community(community_id) as tx:
            current = await tx.communities.get(community_id)
            changed = replace(current.community, sharing=sharing)
            return await tx.communities.replace(changed, expected_version=_seen(expected_version, current))

    async def delete(self, grant: Grant, *, expected_version: int | None) -> None:
        """Delete it with everything it holds. Raises Conflict as `replace` does."""
        community_id = _entered(grant)
        async with self._store.community(community_id) as tx:
            await tx.communities.delete(community_id, expected_version=expected_version)

    def _check_size(self, community: Community) -> None:
        if community.num_prosumers > self._max_prosumers:
            raise InvalidInput(
                f"num_prosumers must be at most {self._max_prosumers} on this installation "
                f"(MAX_PROSUMERS_PER_COMMUNITY), got {community.num_prosumers}",
                field="num_prosumers",
            )


def _seen(expected_version: int | None, current: StoredCommunity) -> int:
    """The version a change builds on: what it was read at, so that of two changes at once none is lost."""
    return current.version if expected_version is None else expected_version


def _entered(grant: Grant) -> str:
    assert grant.community_id is not None, "the route has a community_id in its path"
    return grant.community_id
