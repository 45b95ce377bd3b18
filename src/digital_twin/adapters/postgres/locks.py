"""Advisory locks: their numbers, once, and the order in which they are taken.

The lock of a community's upkeep, which writes its journal anew, comes first, then its own, then that of its sums. Who
writes readings or deletes the community holds its lock alone; who needs readings that stand still shares it, and must
not ask for it alone in the same transaction.
"""

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

MIGRATION = 7_101_001
ADMINISTRATORS = 7_101_002
_COMMUNITY, _SUMS, _EVENTS, _MODELS, _UPKEEP = 7101, 7102, 7103, 7104, 7105

# plans of the readings' statements stay on the primary key however small or new the tables are
_INDEXES_ONLY = (
    "set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), "
    "set_config('enable_seqscan', 'off', true)"
)


async def hold_upkeep(connection: AsyncConnection[TupleRow], community: int) -> None:
    """Until the transaction ends; before the community's own lock."""
    await connection.execute("select pg_advisory_xact_lock(%s, %s)", (_UPKEEP, community))


async def try_upkeep(connection: AsyncConnection[TupleRow], community: int) -> bool:
    """The same if nobody holds it; whether it is held now."""
    cursor = await connection.execute("select pg_try_advisory_xact_lock(%s, %s)", (_UPKEEP, community))
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


async def hold_community(connection: AsyncConnection[TupleRow], community: int) -> None:
    """Until the transaction ends. Later statements see everything committed before it was granted."""
    await connection.execute(
        f"select pg_advisory_xact_lock(%s, %s), {_INDEXES_ONLY}",
        (_COMMUNITY, community),
    )


async def share_community(connection: AsyncConnection[TupleRow], community: int) -> None:
    """Until the transaction ends; waits for a batch that is being written."""
    await connection.execute(
        f"select pg_advisory_xact_lock_shared(%s, %s), {_INDEXES_ONLY}",
        (_COMMUNITY, community),
    )


async def hold_sums(connection: AsyncConnection[TupleRow], community: int) -> None:
    """Until the transaction ends; only under the community's lock."""
    await connection.execute("select pg_advisory_xact_lock(%s, %s)", (_SUMS, community))


async def hold_models(connection: AsyncConnection[TupleRow], community: int) -> None:
    """Until the transaction ends, so that versions are numbered one after the other; before that of the events."""
    await connection.execute("select pg_advisory_xact_lock(%s, %s)", (_MODELS, community))


async def hold_events(connection: AsyncConnection[TupleRow], community: int) -> None:
    """Until the transaction ends, so that events are committed in the order of their numbers; taken last of all."""
    await connection.execute("select pg_advisory_xact_lock(%s, %s)", (_EVENTS, community))
