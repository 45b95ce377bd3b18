"""Issued forecasts and their care in SQL."""

from datetime import datetime
from typing import LiteralString

import numpy as np
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from digital_twin.services.ports import KEPT_FORECASTS, ForecastCare, IssuedForecast
from digital_twin.services.ports.forecasts import Kept

_ISSUED: LiteralString = (
    "variable, starts_at, issued_at, resolution_minutes, model, levels, mean, quantiles, naive_quantiles"
)
_CARE: LiteralString = "next_look_at, next_issue_at, next_training_at, drift, version, lacked_history_at"


class PostgresIssuedForecasts:
    """The port `IssuedForecasts`."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int) -> None:
        self._connection = connection
        self._community = community

    async def add(self, issued: IssuedForecast) -> bool:
        naive = issued.naive_quantiles
        cursor = await self._connection.execute(
            f"insert into issued_forecast (community, {_ISSUED}) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
            "on conflict do nothing",
            (
                self._community, issued.variable, issued.start, issued.issued_at, issued.resolution_minutes,
                issued.model, list(issued.levels), _packed(issued.mean), _packed(issued.quantiles),
                None if naive is None else _packed(naive),
            ),
        )  # fmt: skip
        await self._connection.execute(
            "delete from issued_forecast where community = %s and variable = %s and starts_at < %s",
            (self._community, issued.variable, issued.start - KEPT_FORECASTS),
        )
        return cursor.rowcount == 1

    async def between(self, start: datetime, end: datetime) -> list[IssuedForecast]:
        cursor = await self._connection.execute(
            f"select {_ISSUED} from issued_forecast where community = %s and starts_at >= %s and starts_at < %s "
            "order by variable, starts_at",
            (self._community, start, end),
            binary=True,
        )
        return [_issued(row) for row in await cursor.fetchall()]

    async def care(self) -> ForecastCare | None:
        cursor = await self._connection.execute(
            f"select {_CARE} from forecast_care where community = %s", (self._community,)
        )
        row = await cursor.fetchone()
        return None if row is None else ForecastCare(*row)

    async def keep_care(self, care: ForecastCare) -> bool:
        values = (
            care.next_look_at, care.next_issue_at, care.next_training_at, Jsonb(care.drift), care.version + 1,
            care.lacked_history_at,
        )  # fmt: skip
        if not care.version:
            cursor = await self._connection.execute(
                f"insert into forecast_care (community, {_CARE}) values (%s, %s, %s, %s, %s, %s, %s) "
                "on conflict do nothing",
                (self._community, *values),
            )
        else:
            cursor = await self._connection.execute(
                "update forecast_care set next_look_at = %s, next_issue_at = %s, next_training_at = %s, drift = %s, "
                "version = %s, lacked_history_at = %s where community = %s and version = %s",
                (*values, self._community, care.version),
            )
        return cursor.rowcount == 1

    async def history_came(self, since: datetime) -> bool:
        cursor = await self._connection.execute("select history_came(%s, %s)", (self._community, since))
        row = await cursor.fetchone()
        return row is not None and bool(row[0])

    async def due(self, now: datetime) -> list[str]:
        cursor = await self._connection.execute("select community_id from forecasts_due(%s)", (now,))
        return [community_id for (community_id,) in await cursor.fetchall()]


def _packed(values: Kept) -> bytes:
    return values.astype("<f4").tobytes()


def _issued(row: TupleRow) -> IssuedForecast:
    *_, levels, mean, quantiles, naive = row
    shape = (-1, len(levels))
    return IssuedForecast(
        *row[:5],
        levels=tuple(levels),
        mean=_unpacked(mean),
        quantiles=_unpacked(quantiles).reshape(shape),
        naive_quantiles=None if naive is None else _unpacked(naive).reshape(shape),
    )


def _unpacked(payload: bytes) -> Kept:
    return np.frombuffer(payload, dtype="<f4").astype(np.float32)
