"""Readings of a community of three homes, recorded and read in a store."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
from tests.builders import MONDAY, community

from digital_twin.domain.assets import Asset, Member, Photovoltaics
from digital_twin.domain.readings import Receipt, SeriesKey, SeriesValues
from digital_twin.services.ports import Store

NAN = float("nan")
HOMES = [
    Member("h1"),
    Member("h2", joined_at=MONDAY + timedelta(hours=1)),
    Member("h3", left_at=MONDAY + timedelta(days=2)),
]


async def open_community(store: Store, name: str = "solar_valley") -> None:
    async with store.platform() as tx:
        await tx.communities.create(community(name))
    async with store.community(name) as tx:
        await tx.members.put_members(HOMES)
        await tx.members.put_assets([Asset("roof", Photovoltaics(9), "h1")])


async def record(store: Store, *readings: SeriesValues, key: str, delay: timedelta | None = None) -> Receipt:
    async with store.community("solar_valley") as tx:
        return await tx.readings.record(readings, key=key, assumed_delay=delay)


async def read(
    store: Store, key: SeriesKey, start: datetime, hours: float, as_of: datetime | None = None
) -> list[float]:
    async with store.community("solar_valley") as tx:
        [found] = await tx.readings.read([key], start, start + timedelta(hours=hours), as_of=as_of)
    return found.values.tolist()


async def in_turn(parts: Iterable[Sequence[SeriesValues]]) -> AsyncIterator[Sequence[SeriesValues]]:
    for part in parts:
        yield part


def flagged(readings: SeriesValues, *flags: int) -> SeriesValues:
    return replace(readings, flags=np.array(flags, dtype=np.uint8))


def flags_of(readings: SeriesValues) -> list[int]:
    return [0] * readings.grid.steps if readings.flags is None else readings.flags.tolist()


def outcome(receipt: Receipt) -> tuple[int, int, int, int, int]:
    return receipt.received, receipt.stored, receipt.duplicate, receipt.corrected, receipt.superseded
