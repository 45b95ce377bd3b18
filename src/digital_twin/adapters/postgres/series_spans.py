"""The first and the last day of each series: kept up to a batch, completed by the days that later ones touched."""

from datetime import date
from typing import LiteralString

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from digital_twin.adapters.postgres.locks import share_community

_SPANS = (
    "select series, min(day) as first_day, max(day) as last_day from ("
    "select series, day from reading_open where community = %(community)s and {days} union all "
    "select series, day from reading_closed where community = %(community)s and {days}) touched group by series"
)


class SeriesSpans:
    """Those of one community's series."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int) -> None:
        self._connection = connection
        self._community = community

    async def all(self) -> dict[int, tuple[date, date]]:
        """The first and last day of each series that has readings, by its id."""
        spans, values = await self._touched()
        cursor = await self._connection.execute(
            f"with touched as materialized ({spans}) "
            "select id, least(s.first_day, t.first_day), greatest(s.last_day, t.last_day) "
            "from series s left join touched t on t.series = s.id "
            "where s.community = %(community)s and coalesce(s.first_day, t.first_day) is not null",
            values,
        )
        return {series: (first, last) for series, first, last in await cursor.fetchall()}

    async def keep(self) -> None:
        """Take the days of the batches up to now into what is kept."""
        await share_community(self._connection, self._community)  # no batch is being written
        spans, values = await self._touched()
        await self._connection.execute(
            f"with touched as materialized ({spans}) "
            "update series s set first_day = least(s.first_day, t.first_day), "
            "last_day = greatest(s.last_day, t.last_day) from touched t "
            "where s.community = %(community)s and s.id = t.series and (s.first_day is null or "
            "s.first_day > t.first_day or s.last_day < t.last_day)",
            values,
        )
        await self._connection.execute(
            "insert into keeping (community, spans_until) "
            "select %(community)s, max(received_at) from batch where community = %(community)s "
            "on conflict (community) do update set spans_until = excluded.spans_until",
            values,
        )

    async def cut(self, first_day: int) -> None:
        """Take up that there are no readings before this day any more, where what is kept is up to date."""
        day = (
            "(select at::date from generate_series(date '1970-01-01' + %(day)s, s.last_day, interval '1 day') at "
            "where exists (select from reading_open r where r.community = %(community)s and r.day = at::date "
            "    and r.series = s.id) "
            "or exists (select from reading_closed r where r.community = %(community)s and r.day = at::date "
            "    and r.series = s.id) order by at limit 1)"
        )
        await self._connection.execute(
            f"update series s set first_day = {day}, "
            "last_day = case when last_day >= date '1970-01-01' + %(day)s then last_day end "
            "where community = %(community)s and first_day < date '1970-01-01' + %(day)s",
            {"community": self._community, "day": first_day},
        )

    async def _touched(self) -> tuple[LiteralString, dict[str, object]]:
        """The query for the spans on the days that batches touched since what is kept, and its values."""
        cursor = await self._connection.execute(
            "select spans_until from keeping where community = %s", (self._community,)
        )
        row = await cursor.fetchone()
        if row is None or row[0] is None:
            return _SPANS.format(days="true"), {"community": self._community}
        cursor = await self._connection.execute(
            "select distinct generate_series(first_day, last_day, interval '1 day')::date from journal "
            "where community = %s and received_at > %s",
            (self._community, row[0]),
        )
        days = [day for (day,) in await cursor.fetchall()]
        return _SPANS.format(days="day = any(%(days)s)"), {"community": self._community, "days": days}
