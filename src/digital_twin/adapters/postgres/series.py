"""The series a community has: who they belong to and how fine they are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, LiteralString

import numpy as np
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from digital_twin.adapters.postgres.series_spans import SeriesSpans
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.readings import Series, SeriesKey, SeriesSummary
from digital_twin.domain.stretches import Indices

_COLUMNS = "name, member_id, asset_id, id, resolution_minutes"
_FEW = 64

Identity = tuple[str, str | None, str | None, int]
"""Name, member, asset and resolution of a series: as a plain tuple, since a batch has many of them."""


@dataclass(frozen=True, slots=True)
class KnownSeries:
    """A series as the database knows it."""

    id: int
    key: SeriesKey
    resolution: int


class SeriesTable:
    """Series of one community."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int) -> None:
        self._connection = connection
        self._community = community

    async def find(self, keys: Sequence[SeriesKey]) -> dict[SeriesKey, KnownSeries]:
        """Those of the keys that are known."""
        names = sorted({key.name for key in keys})
        query = f"select {_COLUMNS} from series where community = %s and name = any(%s)"
        values: list[Any] = [self._community, names]
        members = sorted({key.member_id or "" for key in keys})
        if len(keys) <= _FEW:
            query += " and coalesce(member_id, '') = any(%s)"
            values.append(members)
        else:  # asking for all between the first and the last is cheaper than for each key
            query += """ and coalesce(member_id, '') collate "C" between %s and %s"""
            values += [members[0], members[-1]]
        wanted = {_owner(key): key for key in keys}
        cursor = await self._connection.execute(query, values)  # type: ignore[arg-type]
        found: dict[SeriesKey, KnownSeries] = {}
        for *owner, series_id, resolution in await cursor.fetchall():
            key = wanted.get(tuple(owner))
            if key is not None:
                found[key] = KnownSeries(series_id, key, resolution)
        return found

    async def named(self, names: Sequence[str]) -> list[Series]:
        """All of these names, by name and owner."""
        cursor = await self._connection.execute(
            f"select {_COLUMNS} from series where community = %s and name = any(%s)", (self._community, list(names))
        )
        found = [_known(row) for row in await cursor.fetchall()]
        return [Series(one.key, one.resolution) for one in sorted(found, key=lambda one: _sort_key(one.key))]

    async def of_members(self, name: str) -> list[KnownSeries]:
        """The series of that name which add to the community's sum."""
        cursor = await self._connection.execute(
            f"select {_COLUMNS} from series where community = %s and name = %s "
            "and member_id is not null and asset_id is null",
            (self._community, name),
        )
        return [_known(row) for row in await cursor.fetchall()]

    async def ids(self, wanted: Sequence[Identity]) -> Indices:
        """The id of each series, new ones registered.

        Raises:
            InvalidInput: as `resolve`, which is asked as soon as one is not simply there.
        """
        cursor = await self._connection.execute(
            "select name, member_id, asset_id, resolution_minutes, id from series "
            "where community = %s and name = any(%s)",
            (self._community, sorted({one[0] for one in wanted})),
        )
        known = {row[:4]: row[4] for row in await cursor.fetchall()}
        found = [known.get(one) for one in wanted]
        if None in found:
            told = [(SeriesKey(name, member, asset), resolution) for name, member, asset, resolution in wanted]
            registered = await self.resolve(told)
            found = [registered[key].id for key, _ in told]
        return np.array(found, dtype=np.int64)

    async def behind(self, member_id: str) -> list[KnownSeries]:
        """The series of a member and of their assets."""
        cursor = await self._connection.execute(
            f"select {_COLUMNS} from series where community = %(community)s and (member_id = %(member)s or asset_id in "
            "(select asset_id from asset where community = %(community)s and member_id = %(member)s))",
            {"community": self._community, "member": member_id},
        )
        return [_known(row) for row in await cursor.fetchall()]

    async def resolve(self, wanted: Iterable[tuple[SeriesKey, int]]) -> dict[SeriesKey, KnownSeries]:
        """Every series with its id, new ones registered.

        Raises:
            InvalidInput: a series is known at another resolution, or its member or asset is not there.
        """
        resolutions: dict[SeriesKey, int] = {}
        for key, resolution in wanted:
            if resolutions.setdefault(key, resolution) != resolution:
                raise _other_resolution(key, resolutions[key], resolution)
        known = await self.find(list(resolutions))
        for key, series in known.items():
            if series.resolution != resolutions[key]:
                raise _other_resolution(key, series.resolution, resolutions[key])
        new = sorted((key for key in resolutions if key not in known), key=_sort_key)
        if new:
            await self._check_owners(new)
            known |= await self._register(new, resolutions)
        return known

    async def refusals(self, wanted: Iterable[tuple[SeriesKey, int]]) -> dict[tuple[SeriesKey, int], str]:
        """What `resolve` would say of each, for those that it refuses."""
        refused: dict[tuple[SeriesKey, int], str] = {}
        resolutions: dict[SeriesKey, int] = {}
        for key, resolution in wanted:
            if resolutions.setdefault(key, resolution) != resolution:
                refused[key, resolution] = _other_resolution(key, resolutions[key], resolution).message
        known = await self.find(list(resolutions))
        for key, series in known.items():
            if series.resolution != resolutions[key]:
                refused[key, resolutions[key]] = _other_resolution(key, series.resolution, resolutions[key]).message
        new = [key for key in resolutions if key not in known]
        for table, column, missing in await self._missing_owners(new):
            for key in new:
                if getattr(key, column) in missing:
                    refused[key, resolutions[key]] = _no_such_owner(table, column, getattr(key, column)).message
        return refused

    async def _check_owners(self, keys: Sequence[SeriesKey]) -> None:
        for table, column, missing in await self._missing_owners(keys):
            if missing:
                raise _no_such_owner(table, column, missing[0])

    async def _missing_owners(self, keys: Sequence[SeriesKey]) -> list[tuple[str, str, list[str]]]:
        """Members and assets of series that are not there: table, column and ids in order."""
        owners: tuple[tuple[LiteralString, LiteralString], ...] = (("member", "member_id"), ("asset", "asset_id"))
        found: list[tuple[str, str, list[str]]] = []
        for table, column in owners:
            ids = sorted({getattr(key, column) for key in keys} - {None})
            if not ids:
                continue
            cursor = await self._connection.execute(
                f"select id from unnest(%s::text[]) id where not exists "
                f"(select from {table} where community = %s and {column} = id) order by id",
                (ids, self._community),
            )
            found.append((table, column, [one for (one,) in await cursor.fetchall()]))
        return found

    async def _register(
        self, keys: Sequence[SeriesKey], resolutions: dict[SeriesKey, int]
    ) -> dict[SeriesKey, KnownSeries]:
        cursor = await self._connection.execute(
            "insert into series (community, name, member_id, asset_id, resolution_minutes) "
            "select %s, * from unnest(%s::text[], %s::text[], %s::text[], %s::int[]) "
            f"returning {_COLUMNS}",
            (
                self._community,
                [key.name for key in keys],
                [key.member_id for key in keys],
                [key.asset_id for key in keys],
                [resolutions[key] for key in keys],
            ),
        )
        made = [_known(row) for row in await cursor.fetchall()]
        return {one.key: one for one in made}

    async def summaries(self) -> list[SeriesSummary]:
        """What is stored, by name and owner."""
        spans = await SeriesSpans(self._connection, self._community).all()
        cursor = await self._connection.execute(
            f"select {_COLUMNS} from series where community = %s "
            'order by name collate "C", member_id collate "C" nulls first, asset_id collate "C" nulls first',
            (self._community,),
        )
        found = [_known(row) for row in await cursor.fetchall()]
        return [_summary(one, *spans[one.id]) for one in found if one.id in spans]


def _summary(known: KnownSeries, first_day: date, last_day: date) -> SeriesSummary:
    first, last = (datetime.combine(day, time(), UTC) for day in (first_day, last_day))
    return SeriesSummary(Series(known.key, known.resolution), first, last)


def _known(row: tuple[Any, ...]) -> KnownSeries:
    name, member_id, asset_id, series_id, resolution = row
    return KnownSeries(series_id, SeriesKey(name, member_id, asset_id), resolution)


def _owner(key: SeriesKey) -> tuple[str, str | None, str | None]:
    return key.name, key.member_id, key.asset_id


def _sort_key(key: SeriesKey) -> tuple[str, str, str]:
    return key.name, key.member_id or "", key.asset_id or ""


def _no_such_owner(table: str, column: str, missing: str) -> InvalidInput:
    return InvalidInput(
        f"{column} {missing!r} is not in this community; add it with POST .../{table}s first", field=column
    )


def _other_resolution(key: SeriesKey, known: int, given: int) -> InvalidInput:
    owner = f" of {key.member_id}" if key.member_id else ""
    return InvalidInput(
        f"{key.name}{owner} is stored every {known} minutes, got readings every {given}; send them every {known}",
        field="resolution_minutes",
    )
