"""States in SQL: bytes for the twin, arrays a day for the history, documents for what was known when."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from digital_twin.domain.errors import Conflict
from digital_twin.domain.series_days import DAY_MINUTES
from digital_twin.domain.time import TimeGrid, floor_to_step
from digital_twin.services.ports import Checkpoint, KnownState, Snapshot, StateDue, StateTrack, StateUpdate

ESTIMATES = 4
KNOWN_FOR = timedelta(days=35)
"""What was known before that is worked out from the readings again."""

_SNAPSHOT = "version, setup, observed_at, calibrated_until, calibrated_days, model, state, consistency"


class PostgresStates:
    """The port `States`."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int) -> None:
        self._connection = connection
        self._community = community

    async def due(self) -> StateDue | None:
        cursor = await self._connection.execute(
            "select array_agg(id order by id), min(changed_from), max(changed_until) from state_due "
            "where community = %s",
            (self._community,),
        )
        row = await cursor.fetchone()
        return StateDue(tuple(row[0]), row[1], row[2]) if row is not None and row[0] else None

    async def settle(self, due: StateDue, until: datetime) -> None:
        await self._connection.execute(
            "delete from state_due where community = %s and id = any(%s) and changed_until <= %s",
            (self._community, list(due.ids), until),
        )
        await self._connection.execute(
            "update state_due set changed_from = greatest(changed_from, %s) where community = %s and id = any(%s)",
            (until, self._community, list(due.ids)),
        )

    async def snapshot(self) -> Snapshot | None:
        cursor = await self._connection.execute(
            f"select {_SNAPSHOT} from state_snapshot where community = %s", (self._community,)
        )
        row = await cursor.fetchone()
        return None if row is None else Snapshot(*row)

    async def checkpoint(self, at_most: datetime) -> Checkpoint | None:
        cursor = await self._connection.execute(
            "select at, state from state_checkpoint where community = %s and at <= %s order by at desc limit 1",
            (self._community, at_most),
        )
        row = await cursor.fetchone()
        return None if row is None else Checkpoint(*row)

    async def save(self, update: StateUpdate) -> None:
        await self._save_snapshot(update.snapshot, is_new_model=update.is_new_model)
        await self._connection.execute(
            "delete from state_checkpoint where community = %s and (at > %s or at < %s)",
            (self._community, update.replaces_from, update.forget_checkpoints_before),
        )
        async with self._connection.cursor() as cursor:
            await cursor.executemany(
                "insert into state_checkpoint values (%s, %s, %s) "
                "on conflict (community, at) do update set state = excluded.state",
                [(self._community, one.at, one.state) for one in update.checkpoints],
            )
        await self._save_days(update.track)
        await self._connection.execute(
            "delete from state_known where community = %s and known_at < %s",
            (self._community, update.known.known_at - KNOWN_FOR),
        )
        await self._connection.execute(
            "insert into state_known values (%s, %s, %s) "
            "on conflict (community, known_at) do update set document = excluded.document",
            (self._community, update.known.known_at, Jsonb(update.known.document)),
        )

    async def _save_snapshot(self, snapshot: Snapshot, *, is_new_model: bool) -> None:
        if not is_new_model:  # which is large, and written anew with every advance otherwise
            cursor = await self._connection.execute(
                "update state_snapshot set version = %s, observed_at = %s, state = %s, consistency = %s "
                "where community = %s and version = %s",
                (
                    snapshot.version,
                    snapshot.observed_at,
                    snapshot.state,
                    Jsonb(snapshot.consistency),
                    self._community,
                    snapshot.version - 1,
                ),
            )
            if not cursor.rowcount:
                raise _came_second()
            return
        values = (
            self._community, snapshot.version, snapshot.setup, snapshot.observed_at, snapshot.calibrated_until,
            snapshot.calibrated_days, snapshot.model, snapshot.state, Jsonb(snapshot.consistency),
        )  # fmt: skip
        cursor = await self._connection.execute(
            f"insert into state_snapshot (community, {_SNAPSHOT}) values (%s, %s, %s, %s, %s, %s, %s, %s, %s) "
            "on conflict (community) do update set version = excluded.version, setup = excluded.setup, "
            "observed_at = excluded.observed_at, calibrated_until = excluded.calibrated_until, "
            "calibrated_days = excluded.calibrated_days, model = excluded.model, state = excluded.state, "
            "consistency = excluded.consistency "
            "where state_snapshot.version = excluded.version - 1",
            values,
        )
        if not cursor.rowcount:
            raise _came_second()

    async def _save_days(self, track: StateTrack) -> None:
        resolution = track.grid.step_minutes
        await self._connection.execute(
            "delete from state_day where community = %s and resolution_minutes <> %s", (self._community, resolution)
        )
        slots_a_day = DAY_MINUTES // resolution
        rows = list(_days_of(track))
        first, last = rows[0][0], rows[-1][0]
        kept = await self._fetch_days(first, last)
        async with self._connection.cursor() as cursor:
            await cursor.executemany(
                "insert into state_day values (%s, %s, %s, %s, %s, %s, %s, %s, %s) "
                "on conflict (community, day) do update set "
                "coverage = excluded.coverage, nis = excluded.nis, reporting = excluded.reporting, "
                "mean = excluded.mean, deviation = excluded.deviation, "
                "told_after_h = excluded.told_after_h",
                [
                    (self._community, day, resolution, *_merged(kept.get(day), columns, slots, slots_a_day))
                    for day, slots, columns in rows
                ],
            )

    async def _fetch_days(self, first: date, last: date) -> dict[date, list[np.ndarray[Any, Any]]]:
        cursor = await self._connection.execute(
            "select day, coverage, nis, reporting, mean, deviation, told_after_h from state_day "
            "where community = %s and day between %s and %s",
            (self._community, first, last),
        )
        return {day: [np.array(column) for column in columns] for day, *columns in await cursor.fetchall()}

    async def known(self, as_of: datetime) -> KnownState | None:
        cursor = await self._connection.execute(
            "select known_at, document from state_known where community = %s and known_at <= %s "
            "order by known_at desc limit 1",
            (self._community, as_of),
        )
        row = await cursor.fetchone()
        return None if row is None else KnownState(*row)

    async def track(self, start: datetime, end: datetime) -> StateTrack | None:
        cursor = await self._connection.execute(
            "select resolution_minutes from state_day where community = %s limit 1", (self._community,)
        )
        row = await cursor.fetchone()
        if row is None:
            return None
        resolution = int(row[0])
        first = floor_to_step(start, resolution)
        last = floor_to_step(end - timedelta(microseconds=1), resolution) + timedelta(minutes=resolution)
        grid = TimeGrid.spanning(first, last, resolution)
        days = await self._fetch_days(first.date(), (last - timedelta(microseconds=1)).date())
        slots = DAY_MINUTES // resolution
        whole = [np.full((grid.steps, *shape), np.nan) for shape in ((), (), (), (ESTIMATES,), (ESTIMATES,), ())]
        for day, columns in days.items():
            begin = round((datetime(day.year, day.month, day.day, tzinfo=UTC) - first) / grid.step)
            inside = slice(max(begin, 0), min(begin + slots, grid.steps))
            for target, column in zip(whole, columns, strict=True):
                shaped = column.reshape(ESTIMATES, slots).T if target.ndim == 2 else column
                target[inside] = shaped[inside.start - begin : inside.stop - begin]
        coverage, nis, reporting, mean, deviation, told_after_h = whole
        reporting = np.nan_to_num(reporting).astype(np.int64)
        return StateTrack(grid, coverage, nis, reporting, mean, deviation, told_after_h)

    async def communities_due(self, now: datetime) -> list[str]:
        cursor = await self._connection.execute("select community_id from communities_with_state_due(%s)", (now,))
        return [community_id for (community_id,) in await cursor.fetchall()]


def _came_second() -> Conflict:
    return Conflict("the state was advanced meanwhile; ask again", retry_after_s=1)


def _days_of(track: StateTrack) -> Iterator[tuple[date, slice, list[np.ndarray[Any, Any]]]]:
    """The track by UTC day: which slots of the day, and the columns of them."""
    slots = DAY_MINUTES // track.grid.step_minutes
    first = int(track.grid.start.timestamp()) // 60 // track.grid.step_minutes
    for day in range(first // slots, (first + track.grid.steps - 1) // slots + 1):
        begin, end = max(day * slots, first), min((day + 1) * slots, first + track.grid.steps)
        part = slice(begin - first, end - first)
        columns = [
            track.coverage[part],
            track.nis[part],
            track.reporting[part],
            track.mean[part],
            track.deviation[part],
            track.told_after_h[part],
        ]
        yield date.fromordinal(day + 719_163), slice(begin - day * slots, end - day * slots), columns


def _merged(
    kept: list[np.ndarray[Any, Any]] | None, columns: list[np.ndarray[Any, Any]], slots: slice, slots_a_day: int
) -> list[list[float]]:
    """The columns of a day with these slots written over what was kept of it."""
    merged: list[list[float]] = []
    for index, column in enumerate(columns):
        tracks = ESTIMATES if column.ndim == 2 else 1
        whole = np.zeros((tracks, slots_a_day)) if column.dtype == np.int64 else np.full((tracks, slots_a_day), np.nan)
        if kept is not None:
            whole = kept[index].reshape(whole.shape)
        whole[:, slots] = column.T
        # PostgreSQL refuses what would round to 0 in single precision; numpy rounds it
        merged.append(whole.ravel().astype(np.float32 if column.dtype != np.int64 else int).tolist())
    return merged
