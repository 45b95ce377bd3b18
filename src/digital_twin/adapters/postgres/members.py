"""Members and assets in SQL."""

from collections.abc import Sequence
from typing import LiteralString

from psycopg import AsyncConnection, errors
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from digital_twin.adapters.postgres.codec import asset_from, member_from, to_document
from digital_twin.adapters.postgres.locks import hold_community
from digital_twin.domain.assets import Asset, Member
from digital_twin.domain.errors import NotFound


class PostgresMembers:
    """The port `Members`."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int) -> None:
        self._connection = connection
        self._community = community

    async def put_members(self, members: Sequence[Member]) -> int:
        await hold_community(self._connection, self._community)  # dates decide which readings the sums count
        before = await self._count("member")
        async with self._connection.cursor() as cursor:
            await cursor.executemany(
                "insert into member (community, member_id, document, joined_at, left_at) values (%s, %s, %s, %s, %s) "
                "on conflict (community, member_id) do update "
                "set document = excluded.document, joined_at = excluded.joined_at, left_at = excluded.left_at",
                [
                    (self._community, member.member_id, Jsonb(to_document(member)), member.joined_at, member.left_at)
                    for member in members
                ],
            )
        return await self._count("member") - before

    async def members(self) -> list[Member]:
        cursor = await self._connection.execute(
            'select document from member where community = %s order by member_id collate "C"', (self._community,)
        )
        return [member_from(document) for (document,) in await cursor.fetchall()]

    async def put_assets(self, assets: Sequence[Asset]) -> int:
        before = await self._count("asset")
        try:
            async with self._connection.cursor() as cursor:
                await cursor.executemany(
                    "insert into asset (community, asset_id, member_id, document) values (%s, %s, %s, %s) "
                    "on conflict (community, asset_id) do update "
                    "set member_id = excluded.member_id, document = excluded.document",
                    [(self._community, one.asset_id, one.member_id, Jsonb(to_document(one))) for one in assets],
                )
        except errors.ForeignKeyViolation as error:
            raise NotFound("an asset names a member that is not there; add members with POST .../members") from error
        return await self._count("asset") - before

    async def assets(self) -> list[Asset]:
        cursor = await self._connection.execute(
            'select document from asset where community = %s order by asset_id collate "C"', (self._community,)
        )
        return [asset_from(document) for (document,) in await cursor.fetchall()]

    async def _count(self, table: LiteralString) -> int:
        cursor = await self._connection.execute(
            f"select count(*) from {table} where community = %s",
            (self._community,),
        )
        row = await cursor.fetchone()
        assert row is not None
        return int(row[0])
