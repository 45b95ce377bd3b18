"""Transactions on PostgreSQL: inside one community, or over accounts and the list of communities."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import TupleRow
from psycopg_pool import PoolClosed, PoolTimeout

from digital_twin.adapters.postgres.accounts import PostgresAccounts
from digital_twin.adapters.postgres.communities import PostgresCommunities
from digital_twin.adapters.postgres.database import Pool
from digital_twin.adapters.postgres.events import PostgresEvents
from digital_twin.adapters.postgres.feeds import PostgresFeeds
from digital_twin.adapters.postgres.forecasts import PostgresIssuedForecasts
from digital_twin.adapters.postgres.keeping import PostgresKeeping
from digital_twin.adapters.postgres.member_plans import PostgresMemberPlans
from digital_twin.adapters.postgres.members import PostgresMembers
from digital_twin.adapters.postgres.models import PostgresTrainedModels
from digital_twin.adapters.postgres.plan_questions import PostgresPlanQuestions
from digital_twin.adapters.postgres.readings import PostgresReadings
from digital_twin.adapters.postgres.replays import PostgresReplays
from digital_twin.adapters.postgres.results import PostgresResults
from digital_twin.adapters.postgres.runs import PostgresRunQueue, PostgresRuns
from digital_twin.adapters.postgres.states import PostgresStates
from digital_twin.adapters.postgres.topics import (
    PostgresDeadLetters,
    PostgresIngesters,
    PostgresSampled,
    PostgresTopicMappings,
)
from digital_twin.domain.errors import NotFound, Unavailable

_BEGIN = sql.SQL("begin; ")
_ENTER_PLATFORM = sql.SQL("select set_config('digital_twin.scope', 'platform', true)")
_ENTER_COMMUNITY = sql.SQL("select enter_community({})")
_OUTSIDE = 0
"""No community has this key: what belongs to one is empty in platform scope."""


@dataclass(frozen=True, slots=True)
class PostgresTransaction:
    """The port `Transaction`."""

    communities: PostgresCommunities
    members: PostgresMembers
    readings: PostgresReadings
    keeping: PostgresKeeping
    states: PostgresStates
    results: PostgresResults
    member_plans: PostgresMemberPlans
    plan_questions: PostgresPlanQuestions
    trained_models: PostgresTrainedModels
    issued_forecasts: PostgresIssuedForecasts
    runs: PostgresRuns
    events: PostgresEvents
    feeds: PostgresFeeds
    topic_mappings: PostgresTopicMappings
    dead_letters: PostgresDeadLetters
    sampled: PostgresSampled
    ingesters: PostgresIngesters
    run_queue: PostgresRunQueue
    accounts: PostgresAccounts
    replays: PostgresReplays


class PostgresStore:
    """The port `Store` on a pool of connections; a large batch lies in the folder until it has come whole."""

    def __init__(self, pool: Pool, spool_folder: Path | None = None) -> None:
        self._pool = pool
        self._spool_folder = spool_folder

    @asynccontextmanager
    async def platform(self) -> AsyncGenerator[PostgresTransaction, None]:
        async with self._transaction(_ENTER_PLATFORM) as (connection, _):
            yield self._on(connection, _OUTSIDE)

    @asynccontextmanager
    async def community(self, community_id: str) -> AsyncGenerator[PostgresTransaction, None]:
        async with self._transaction(_ENTER_COMMUNITY.format(community_id)) as (connection, key):
            if key is None:
                raise NotFound(f"there is no community {community_id!r} that you may see", community_id=community_id)
            yield self._on(connection, int(key))

    async def is_ready(self) -> bool:
        try:
            async with self._pool.connection(timeout=2.0) as connection:
                await connection.execute("select 1")
        except (psycopg.Error, PoolTimeout, PoolClosed):
            return False
        return True

    @asynccontextmanager
    async def _transaction(
        self, entrance: sql.Composable
    ) -> AsyncGenerator[tuple[AsyncConnection[TupleRow], Any], None]:
        """One transaction and what its first query gave; the connection's block commits it or rolls it back.

        A lost or missing database is `Unavailable`, and whether it committed is then unknown.
        """
        try:
            async with self._pool.connection() as connection:
                cursor = await connection.execute(_BEGIN + entrance)  # one journey to the server for both
                cursor.nextset()
                row = await cursor.fetchone()
                yield connection, None if row is None else row[0]
        except psycopg.errors.ForeignKeyViolation as error:
            if not (error.diag.constraint_name or "").endswith("_community_fkey"):
                raise
            raise NotFound("the community was deleted meanwhile") from error
        except psycopg.errors.DiskFull as error:
            raise Unavailable(
                "the database has no space left; try again when there is some", retry_after_s=60
            ) from error
        except psycopg.errors.QueryCanceled as error:
            raise Unavailable("the database took too long; ask for less at once", retry_after_s=5) from error
        except (
            psycopg.OperationalError,
            psycopg.errors.IdleInTransactionSessionTimeout,
            psycopg.InterfaceError,
            PoolTimeout,
            PoolClosed,
        ) as error:
            raise Unavailable("the database does not answer; try again in a moment", retry_after_s=2) from error

    def _on(self, connection: AsyncConnection[TupleRow], community: int) -> PostgresTransaction:
        return PostgresTransaction(
            PostgresCommunities(connection),
            PostgresMembers(connection, community),
            PostgresReadings(connection, community, self._spool_folder),
            PostgresKeeping(connection, community),
            PostgresStates(connection, community),
            PostgresResults(connection, community),
            PostgresMemberPlans(connection, community),
            PostgresPlanQuestions(connection, community),
            PostgresTrainedModels(connection, community),
            PostgresIssuedForecasts(connection, community),
            PostgresRuns(connection, community),
            PostgresEvents(connection, community),
            PostgresFeeds(connection, community),
            PostgresTopicMappings(connection, community),
            PostgresDeadLetters(connection, community),
            PostgresSampled(connection, community),
            PostgresIngesters(connection),
            PostgresRunQueue(connection),
            PostgresAccounts(connection),
            PostgresReplays(connection),
        )
