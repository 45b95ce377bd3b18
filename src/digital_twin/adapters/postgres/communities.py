"""Communities in SQL."""

from collections.abc import Collection
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from digital_twin.adapters.postgres.codec import community_from, to_document
from digital_twin.adapters.postgres.locks import hold_community
from digital_twin.domain.community import Community
from digital_twin.domain.errors import Conflict, NotFound
from digital_twin.services.ports import StoredCommunity

_COLUMNS = "document, version, created_at"


class PostgresCommunities:
    """The port `Communities`."""

    def __init__(self, connection: AsyncConnection[TupleRow]) -> None:
        self._connection = connection

    async def create(self, community: Community) -> StoredCommunity:
        taken = Conflict(f"the community {community.community_id!r} exists already; choose another community_id")
        cursor = await self._connection.execute(
            f"insert into community (community_id, document) values (%s, %s) "
            f"on conflict (community_id) do nothing returning {_COLUMNS}",
            (community.community_id, Jsonb(to_document(community))),
        )
        row = await cursor.fetchone()
        if row is None:
            raise taken
        return _stored(row)

    async def get(self, community_id: str) -> StoredCommunity:
        cursor = await self._connection.execute(
            f"select {_COLUMNS} from community where community_id = %s",
            (community_id,),
        )
        row = await cursor.fetchone()
        if row is None:
            raise _missing(community_id)
        return _stored(row)

    async def replace(self, community: Community, *, expected_version: int | None) -> StoredCommunity:
        cursor = await self._connection.execute(
            f"update community set document = %s, version = version + 1 "
            f"where community_id = %s and version = coalesce(%s, version) returning {_COLUMNS}",
            (Jsonb(to_document(community)), community.community_id, expected_version),
        )
        row = await cursor.fetchone()
        if row is None:
            raise await self._why_unchanged(community.community_id)
        return _stored(row)

    async def delete(self, community_id: str, *, expected_version: int | None) -> None:
        cursor = await self._connection.execute("select id from community where community_id = %s", (community_id,))
        row = await cursor.fetchone()
        if row is None:
            raise _missing(community_id)
        await hold_community(self._connection, row[0])  # a batch that is being written ends first
        cursor = await self._connection.execute(
            "delete from community where community_id = %s and version = coalesce(%s, version)",
            (community_id, expected_version),
        )
        if not cursor.rowcount:
            raise await self._why_unchanged(community_id)

    async def _why_unchanged(self, community_id: str) -> Conflict:
        current = await self.get(community_id)
        return Conflict(f"the community was changed meanwhile and is at version {current.version} now; read it again")

    async def page(
        self, *, account_id: int | None, after: str | None, limit: int, among: Collection[str] | None = None
    ) -> list[StoredCommunity]:
        chosen = None if among is None else sorted(among)
        cursor = await self._connection.execute(
            f'select {_COLUMNS} from community c where community_id collate "C" > %s '
            "and (%s::bigint is null or exists (select from membership m where m.community = c.id and m.account = %s "
            "     and coalesce(m.valid_from <= clock_timestamp(), true) "
            "     and coalesce(m.valid_until > clock_timestamp(), true))) "
            "and (%s::text[] is null or community_id = any(%s)) "
            'order by community_id collate "C" limit %s',
            (after or "", account_id, account_id, chosen, chosen, limit),
        )
        return [_stored(row) for row in await cursor.fetchall()]


def _missing(community_id: str) -> NotFound:
    return NotFound(f"there is no community {community_id!r} that you may see", community_id=community_id)


def _stored(row: tuple[Any, ...]) -> StoredCommunity:
    document, version, created_at = row
    return StoredCommunity(community_from(document), version, created_at)
