"""Members of a community and the assets behind their meters."""

from collections.abc import Sequence
from dataclasses import dataclass

from digital_twin.domain.assets import Asset, Member
from digital_twin.domain.errors import InvalidInput
from digital_twin.services.access import Grant
from digital_twin.services.ports import Store


@dataclass(frozen=True, slots=True)
class PutCounts:
    """How many were sent, and how many of them are new."""

    received: int
    created: int


class MemberService:
    """Use cases around members and assets."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def put_members(self, grant: Grant, members: Sequence[Member]) -> PutCounts:
        """Add or replace members. Raises InvalidInput when one is named twice."""
        _refuse_doubles([member.member_id for member in members], "member_id")
        async with self._store.community(str(grant.community_id)) as tx:
            return PutCounts(len(members), await tx.members.put_members(members))

    async def put_assets(self, grant: Grant, assets: Sequence[Asset]) -> PutCounts:
        """Add or replace assets. Raises InvalidInput when one is named twice, NotFound for an unknown member."""
        _refuse_doubles([asset.asset_id for asset in assets], "asset_id")
        async with self._store.community(str(grant.community_id)) as tx:
            return PutCounts(len(assets), await tx.members.put_assets(assets))

    async def members(self, grant: Grant) -> list[Member]:
        async with self._store.community(str(grant.community_id)) as tx:
            return await tx.members.members()

    async def assets(self, grant: Grant) -> list[Asset]:
        async with self._store.community(str(grant.community_id)) as tx:
            return await tx.members.assets()


def _refuse_doubles(identifiers: Sequence[str], field: str) -> None:
    seen: set[str] = set()
    for identifier in identifiers:
        if identifier in seen:
            raise InvalidInput(f"{field} {identifier!r} is named twice", field=field)
        seen.add(identifier)
