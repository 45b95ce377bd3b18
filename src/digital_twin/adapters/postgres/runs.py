"""Runs in SQL; a Run and its job are written in one transaction, and every later write is fenced by the attempt."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, LiteralString

from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from digital_twin.adapters.postgres.results import PostgresResults
from digital_twin.adapters.queue import defer_run, stop_job
from digital_twin.domain.errors import NotFound
from digital_twin.services.ports import MAX_FAILURES, PAUSES_S, Run, RunState, StoredResult

_COLUMNS: LiteralString = (
    "run_id::text, (select c.community_id from community c where c.id = run.community), kind, queue, state, request, "
    "created_by, created_at, started_at, finished_at, attempt, failures, job_id, done, total, result_id::text, problem"
)
_NEWEST: LiteralString = "where community = %s and run_id = %s::uuid and attempt = %s and state = 'running'"


class PostgresRuns:
    """The port `Runs`."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int) -> None:
        self._connection = connection
        self._community = community

    async def add(self, run: Run, inputs: Sequence[bytes] = ()) -> Run:
        job_id = await defer_run(self._connection, run.queue, run.community_id, run.run_id)
        added = await self._one(
            "insert into run (run_id, community, kind, queue, request, created_by, created_at, job_id) "
            f"values (%s, %s, %s, %s, %s, %s, %s, %s) returning {_COLUMNS}",
            run.run_id, self._community, run.kind, run.queue, Jsonb(run.request), run.created_by, run.created_at,
            job_id,
        )  # fmt: skip
        assert added is not None
        async with self._connection.cursor() as cursor:
            await cursor.executemany(
                "insert into run_input (run_id, part, community, payload) values (%s, %s, %s, %s)",
                [(run.run_id, part, self._community, payload) for part, payload in enumerate(inputs)],
            )
        return added

    async def get(self, run_id: str) -> Run:
        found = await self._one(
            f"select {_COLUMNS} from run where community = %s and run_id = %s::uuid", self._community, run_id
        )
        if found is None:
            raise _missing(run_id)
        return found

    async def page(self, *, before: str | None, limit: int) -> list[Run]:
        cursor = await self._connection.execute(
            f"select {_COLUMNS} from run where community = %s and (%s::uuid is null or run_id < %s::uuid) "
            "order by run_id desc limit %s",
            (self._community, before, before, limit),
        )
        return [_run(row) for row in await cursor.fetchall()]

    async def inputs(self, run_id: str) -> list[bytes]:
        cursor = await self._connection.execute(
            "select payload from run_input where community = %s and run_id = %s::uuid order by part",
            (self._community, run_id),
            binary=True,
        )
        return [bytes(payload) for (payload,) in await cursor.fetchall()]

    async def claim(self, run_id: str, job_id: int, *, at: datetime) -> Run | None:
        return await self._one(
            "update run set state = 'running', attempt = attempt + 1, started_at = coalesce(started_at, %s) "
            f"where community = %s and run_id = %s::uuid and job_id = %s and state = 'queued' returning {_COLUMNS}",
            at, self._community, run_id, job_id,
        )  # fmt: skip

    async def set_total(self, run_id: str, attempt: int, total: int) -> Run | None:
        return await self._one(
            f"update run set total = %s {_NEWEST} returning {_COLUMNS}", total, self._community, run_id, attempt
        )

    async def parts(self, run_id: str) -> dict[int, bytes]:
        cursor = await self._connection.execute(
            "select part, payload from run_part where community = %s and run_id = %s::uuid order by part",
            (self._community, run_id),
            binary=True,
        )
        return {part: bytes(payload) for part, payload in await cursor.fetchall()}

    async def keep_part(self, run_id: str, attempt: int, part: int, payload: bytes) -> Run | None:
        held = await self._one(f"select {_COLUMNS} from run {_NEWEST} for update", self._community, run_id, attempt)
        if held is None:
            return None
        cursor = await self._connection.execute(
            "insert into run_part (run_id, part, community, payload) values (%s, %s, %s, %s) on conflict do nothing",
            (run_id, part, self._community, payload),
        )
        if not cursor.rowcount:
            return held
        return await self._one(
            f"update run set done = done + 1 {_NEWEST} returning {_COLUMNS}", self._community, run_id, attempt
        )

    async def succeed(self, run_id: str, attempt: int, result: StoredResult | None, *, at: datetime) -> Run | None:
        result_id = None if result is None else result.result_id
        ended = await self._one(
            f"update run set state = 'succeeded', finished_at = %s, result_id = %s {_NEWEST} returning {_COLUMNS}",
            at, result_id, self._community, run_id, attempt,
        )  # fmt: skip
        if ended is not None:
            if result is not None:
                await PostgresResults(self._connection, self._community).add(result)
            await self._tidy(run_id)
        return ended

    async def fail(self, run_id: str, attempt: int, problem: dict[str, Any], *, at: datetime) -> Run | None:
        ended = await self._one(
            f"update run set state = 'failed', finished_at = %s, problem = %s {_NEWEST} returning {_COLUMNS}",
            at, Jsonb(problem), self._community, run_id, attempt,
        )  # fmt: skip
        if ended is not None:
            await self._tidy(run_id)
        return ended

    async def cancel(self, run_id: str, *, at: datetime) -> Run:
        ended = await self._one(
            "update run set state = 'cancelled', finished_at = %s where community = %s and run_id = %s::uuid "
            f"and state in ('queued', 'running') returning {_COLUMNS}",
            at, self._community, run_id,
        )  # fmt: skip
        if ended is None:
            return await self.get(run_id)
        await self._tidy(run_id)
        if ended.job_id is not None:
            await stop_job(self._connection, ended.job_id)
        return ended

    async def try_again(
        self, run_id: str, job_id: int, *, is_failure: bool, problem: dict[str, Any], at: datetime
    ) -> Run | None:
        mine: LiteralString = "where community = %s and run_id = %s::uuid and job_id = %s"
        held = await self._one(
            f"select {_COLUMNS} from run {mine} and state in ('queued', 'running') for update",
            self._community, run_id, job_id,
        )  # fmt: skip
        if held is None:
            return None
        failures = held.failures + is_failure
        if failures >= MAX_FAILURES:
            await self._tidy(run_id)
            return await self._one(
                f"update run set state = 'failed', failures = %s, problem = %s, finished_at = %s {mine} "
                f"returning {_COLUMNS}",
                failures, Jsonb(problem), at, self._community, run_id, job_id,
            )  # fmt: skip
        pause_s = PAUSES_S[failures - 1] if is_failure else 0
        next_job = await defer_run(self._connection, held.queue, held.community_id, run_id, pause_s=pause_s)
        return await self._one(
            f"update run set state = 'queued', failures = %s, job_id = %s {mine} returning {_COLUMNS}",
            failures, next_job, self._community, run_id, job_id,
        )  # fmt: skip

    async def _tidy(self, run_id: str) -> None:
        """What has ended needs neither its parts nor what it was given."""
        for table in ("run_part", "run_input"):
            await self._connection.execute(
                f"delete from {table} where community = %s and run_id = %s::uuid", (self._community, run_id)
            )

    async def _one(self, query: LiteralString, *values: Any) -> Run | None:
        """The one Run that the query gives."""
        cursor = await self._connection.execute(query, values)
        row = await cursor.fetchone()
        return None if row is None else _run(row)


class PostgresRunQueue:
    """The port `RunQueue`."""

    def __init__(self, connection: AsyncConnection[TupleRow]) -> None:
        self._connection = connection

    async def community_of(self, run_id: str) -> str | None:
        cursor = await self._connection.execute("select community_of_run(%s::uuid)", (run_id,))
        row = await cursor.fetchone()
        return None if row is None else row[0]

    async def lost(self, silent_s: float) -> list[tuple[str, str, int]]:
        cursor = await self._connection.execute(
            "select community_id, run_id::text, job_id from lost_runs(make_interval(secs => %s))", (silent_s,)
        )
        return [(community_id, run_id, job_id) for community_id, run_id, job_id in await cursor.fetchall()]

    async def bury(self, job_id: int) -> None:
        await self._connection.execute(
            "select procrastinate_finish_job_v1(id, 'failed', false) from procrastinate_jobs "
            "where id = %s and status = 'doing'",
            (job_id,),
        )


def _run(row: tuple[Any, ...]) -> Run:
    run_id, community_id, kind, queue, state, *rest = row
    return Run(run_id, community_id, kind, queue, RunState(state), *rest)


def _missing(run_id: str) -> NotFound:
    return NotFound(f"there is no run {run_id}")
