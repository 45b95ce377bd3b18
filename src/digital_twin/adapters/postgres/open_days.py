"""Recent days are open: their rows change often and are kept where updates stay on the page; later they are closed."""

from typing import LiteralString

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

OPEN_DAYS = 35
CLOSE_EVERY_DAYS = 7

_MOVES: tuple[tuple[LiteralString, LiteralString, LiteralString], ...] = (
    ("only reading_open", "reading_closed", "day, series"),
    ("reading_open_piece", "reading_closed_piece", "day, series, piece"),
)


async def open_from(connection: AsyncConnection[TupleRow], community: int) -> int:
    """The first open day; closes what has become old where nobody did for a week. Under the lock."""
    known_from, due = await _horizon(connection, community)
    if known_from is None or due - known_from >= CLOSE_EVERY_DAYS:
        await _close_days(connection, community, due)
        return due
    return known_from


async def close_day(connection: AsyncConnection[TupleRow], community: int) -> int | None:
    """Close the first open day if it is old; the rows moved, None when there is no old day. Under the lock."""
    known_from, due = await _horizon(connection, community)
    if known_from is None or known_from >= due:
        return None
    return await _close_days(connection, community, known_from + 1)


async def _horizon(connection: AsyncConnection[TupleRow], community: int) -> tuple[int | None, int]:
    """The first open day, None before there is any, and the day that it may become."""
    cursor = await connection.execute(
        "select open_from - date '1970-01-01', current_date - %s - date '1970-01-01' "
        "from (select 1) one left join reading_horizon on community = %s",
        (OPEN_DAYS, community),
    )
    row = await cursor.fetchone()
    assert row is not None
    return row[0], int(row[1])


async def _close_days(connection: AsyncConnection[TupleRow], community: int, before: int) -> int:
    """Move rows of days before this one (days since 1970-01-01) to the compact table; how many."""
    moved = 0
    for source, target, order in _MOVES:
        cursor = await connection.execute(
            f"with moved as (delete from {source} where community = %s "
            "               and day < date '1970-01-01' + %s returning *) "
            f"insert into {target} select * from moved order by {order}",
            (community, before),
        )
        moved += cursor.rowcount
    await connection.execute(
        "insert into reading_horizon values (%s, date '1970-01-01' + %s) "
        "on conflict (community) do update set open_from = excluded.open_from",
        (community, before),
    )
    return moved
