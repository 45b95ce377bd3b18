"""Sums of five homes or more that stay when readings behind them are removed."""

from datetime import datetime

import numpy as np
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from digital_twin.adapters.postgres.binary import DateArray
from digital_twin.domain.member_sum import DaySums
from digital_twin.domain.series_days import Indices

KEPT_FROM_HOMES = 5
"""A sum over fewer homes says too much of one of them."""


class KeptSums:
    """Those of one community. What is kept once never changes."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int) -> None:
        self._connection = connection
        self._community = community

    async def fetch(self, name: str, days: Indices, as_of: datetime | None = None) -> list[DaySums]:
        """What is kept of these days, as of an instant what was kept then, one for each resolution."""
        cursor = await self._connection.execute(
            "select day - date '1970-01-01', resolution_minutes, total, reporting, members from kept_sum "
            "where community = %s and name = %s and day = any(%b) "
            "and kept_at <= coalesce(%s::timestamptz, 'infinity') order by day",
            (self._community, name, DateArray(days), as_of),
        )
        rows = await cursor.fetchall()
        return [
            DaySums(
                np.array([row[0] for row in rows if row[1] == resolution]),
                resolution,
                *(np.array([row[column] for row in rows if row[1] == resolution]) for column in (2, 3, 4)),
            )
            for resolution in sorted({row[1] for row in rows})
        ]

    async def days_later_than(self, name: str, as_of: datetime, first: int, last: int) -> Indices:
        """Of these days those of which sums were kept later."""
        cursor = await self._connection.execute(
            "select distinct day - date '1970-01-01' from kept_sum where community = %s and name = %s "
            "and day between date '1970-01-01' + %s and date '1970-01-01' + %s and kept_at > %s",
            (self._community, name, first, last, as_of),
        )
        return np.array([day for (day,) in await cursor.fetchall()], dtype=np.int64)

    async def keep(self, name: str, sums: DaySums) -> None:
        """Keep these sums where enough homes report, as of this transaction."""
        is_kept = sums.reporting >= KEPT_FROM_HOMES
        total = np.where(is_kept, sums.total, np.nan)
        reporting, members = np.where(is_kept, sums.reporting, 0), np.where(is_kept, sums.members, 0)
        chosen = np.flatnonzero(is_kept.any(axis=1))
        async with self._connection.cursor() as cursor:
            await cursor.executemany(
                "insert into kept_sum (community, day, name, kept_at, resolution_minutes, total, reporting, members) "
                "values (%s, date '1970-01-01' + %s, %s, now(), %s, %s, %s, %s)",
                [
                    (
                        self._community, int(sums.days[row]), name, sums.resolution_minutes,
                        total[row].tolist(), reporting[row].tolist(), members[row].tolist(),
                    )
                    for row in chosen
                ],
            )  # fmt: skip
