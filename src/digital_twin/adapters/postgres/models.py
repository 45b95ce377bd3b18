"""Trained versions of forecasting models in SQL."""

from dataclasses import replace
from datetime import datetime
from typing import Any, LiteralString

from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from digital_twin.adapters.postgres.locks import hold_models
from digital_twin.services.ports import KEPT_VERSIONS, Lesson, TrainedVersion

_COLUMNS: LiteralString = (
    "variable, model, run_id::text, trained_at, as_of, data_start, data_end, encode(data_sha256, 'hex'), "
    "resolution_minutes, code_version, payload_format, encode(sha256, 'hex'), scores, version, ensemble"
)
_LESSON: LiteralString = (
    "variable, model, version, as_of, taught_at, encode(data_sha256, 'hex'), code_version, encode(sha256, 'hex'), "
    "ensemble"
)
_LATEST: LiteralString = (
    "select as_of, ensemble from trained_model_lesson l "
    "where (l.community, l.variable, l.model, l.version) = (t.community, t.variable, t.model, t.version) "
    "order by as_of desc limit 1"
)


class PostgresTrainedModels:
    """The port `TrainedModels`."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int) -> None:
        self._connection = connection
        self._community = community

    async def add(self, trained: TrainedVersion, payload: bytes) -> TrainedVersion:
        await hold_models(self._connection, self._community)
        key = (self._community, trained.variable, trained.model)
        cursor = await self._connection.execute(
            f"select {_COLUMNS} from trained_model "
            "where community = %s and variable = %s and model = %s and run_id = %s::uuid",
            (*key, trained.run_id),
        )
        if (before := await cursor.fetchone()) is not None:
            return TrainedVersion(*before)
        cursor = await self._connection.execute(
            "insert into trained_model (community, variable, model, version, run_id, trained_at, as_of, data_start, "
            "data_end, data_sha256, resolution_minutes, code_version, payload_format, sha256, scores, ensemble, "
            "payload) "
            "select %s, %s, %s, coalesce(max(version), 0) + 1, "
            "%s::uuid, %s, %s, %s, %s, decode(%s, 'hex'), %s, %s, %s, decode(%s, 'hex'), %s, %s, %s "
            "from trained_model where community = %s and variable = %s and model = %s returning version",
            (*key, trained.run_id, trained.trained_at, trained.as_of, trained.data_start, trained.data_end,
             trained.data_sha256, trained.resolution_minutes, trained.code_version, trained.payload_format,
             trained.sha256, Jsonb(trained.scores), _json(trained.ensemble), payload, *key),
        )  # fmt: skip
        row = await cursor.fetchone()
        assert row is not None
        await self._connection.execute(
            "delete from trained_model where community = %s and variable = %s and model = %s and version <= %s",
            (*key, row[0] - KEPT_VERSIONS),
        )
        return replace(trained, version=row[0])

    async def all(self) -> list[TrainedVersion]:
        cursor = await self._connection.execute(
            f"select {_COLUMNS}, taught_until, taught from trained_model t "
            f"left join lateral ({_LATEST}) as latest(taught_until, taught) on true "
            "where community = %s order by variable, model, version desc",
            (self._community,),
        )
        rows: list[tuple[Any, ...]] = await cursor.fetchall()
        return [_taught(TrainedVersion(*row[:-2]), *row[-2:]) for row in rows]

    async def newest(
        self, variable: str, model: str, *, payload_format: int, since: datetime, until: datetime
    ) -> tuple[TrainedVersion, bytes] | None:
        cursor = await self._connection.execute(
            f"select {_COLUMNS}, payload from trained_model where community = %s and variable = %s and model = %s "
            "and payload_format = %s and as_of between %s and %s order by as_of desc, version desc limit 1",
            (self._community, variable, model, payload_format, since, until),
            binary=True,
        )
        row: tuple[Any, ...] | None = await cursor.fetchone()
        return None if row is None else (TrainedVersion(*row[:-1]), bytes(row[-1]))

    async def add_lesson(self, lesson: Lesson, payload: bytes) -> bool:
        await hold_models(self._connection, self._community)  # no version goes meanwhile
        cursor = await self._connection.execute(
            "insert into trained_model_lesson (community, variable, model, version, as_of, taught_at, data_sha256, "
            "code_version, sha256, ensemble, payload) "
            "select community, variable, model, version, %s, %s, decode(%s, 'hex'), %s, decode(%s, 'hex'), %s, %s "
            "from trained_model where community = %s and variable = %s and model = %s and version = %s "
            "on conflict do nothing",
            (lesson.as_of, lesson.taught_at, lesson.data_sha256, lesson.code_version, lesson.sha256,
             _json(lesson.ensemble), payload, self._community, lesson.variable, lesson.model, lesson.version),
        )  # fmt: skip
        return cursor.rowcount == 1

    async def latest_lesson(self, trained: TrainedVersion, *, until: datetime) -> tuple[Lesson, bytes] | None:
        cursor = await self._connection.execute(
            f"select {_LESSON}, payload from trained_model_lesson where community = %s and variable = %s "
            "and model = %s and version = %s and as_of <= %s order by as_of desc limit 1",
            (self._community, trained.variable, trained.model, trained.version, until),
            binary=True,
        )
        row: tuple[Any, ...] | None = await cursor.fetchone()
        return None if row is None else (Lesson(*row[:-1]), bytes(row[-1]))


def _json(document: dict[str, Any] | None) -> Jsonb | None:
    return None if document is None else Jsonb(document)


def _taught(trained: TrainedVersion, until: datetime | None, ensemble: dict[str, Any] | None) -> TrainedVersion:
    """The version as its latest lesson left it."""
    return trained if until is None else replace(trained, taught_until=until, ensemble=ensemble)
