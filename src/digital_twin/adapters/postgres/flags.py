"""Flags of readings that are not plainly measured; most rows have none."""

import numpy as np
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from digital_twin.adapters.postgres import binary
from digital_twin.adapters.postgres.binary import DateArray, Int4Array
from digital_twin.adapters.postgres.journal import row_keys
from digital_twin.domain.quality import Flags
from digital_twin.domain.series_days import DayRows, Mask


class FlagTable:
    """Flags of one community."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int) -> None:
        self._connection = connection
        self._community = community

    async def fetch(self, rows: DayRows) -> Flags | None:
        """The flags of rows in order of (day, series); None where none of them has any."""
        cursor = await self._connection.execute(
            "select coalesce(string_agg(int4send(day - date '1970-01-01'), ''::bytea), ''), "
            "coalesce(string_agg(int4send(series), ''::bytea), ''), coalesce(string_agg(flags, ''::bytea), '') "
            "from reading_flag where community = %s and day = any(%b) and series between %s and %s "
            "and length(flags) = %s",
            (
                self._community,
                DateArray(np.unique(rows.day)),
                int(rows.series.min()),
                int(rows.series.max()),
                rows.slots.shape[1],
            ),
            binary=True,
        )
        found = await cursor.fetchone()
        assert found is not None
        wanted = row_keys(binary.read_int4(found[0]), binary.read_int4(found[1]))
        keys = row_keys(rows.day, rows.series)
        place = np.minimum(np.searchsorted(keys, wanted), keys.size - 1)
        hit = keys[place] == wanted
        if not hit.any():
            return None
        flags = np.zeros(rows.slots.shape, dtype=np.uint8)
        flags[place[hit]] = np.frombuffer(found[2], np.uint8).reshape(-1, rows.slots.shape[1])[hit]
        return flags

    async def write(self, rows: DayRows, had: Mask) -> None:
        """Keep the flags of rows; rows that had some and have none any more are let go."""
        assert rows.flags is not None
        has: Mask = rows.flags.max(axis=1) > 0
        gone = rows.where(had & ~has)
        if gone.size:
            await self._connection.execute(
                "delete from reading_flag f using unnest(%b, %b) k(day, series) cross join lateral ("
                "  select ctid as place from reading_flag t "
                "  where t.community = %s and t.day = k.day and t.series = k.series limit 1) stored "
                "where f.ctid = stored.place",
                (DateArray(gone.day), Int4Array(gone.series), self._community),
            )
        kept = rows.where(has)
        if kept.flags is not None and kept.size:
            slots = kept.slots.shape[1]
            await self._connection.execute(
                "insert into reading_flag "
                "select %s, k.day, k.series, substring(%b::bytea from (1 + (k.i - 1) * %s)::int for %s) "
                "from unnest(%b, %b) with ordinality k(day, series, i) "
                "on conflict (community, day, series) do update set flags = excluded.flags",
                (
                    self._community, np.ascontiguousarray(kept.flags).tobytes(), slots, slots,
                    DateArray(kept.day), Int4Array(kept.series),
                ),
            )  # fmt: skip
