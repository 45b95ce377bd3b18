"""A batch that waits for its last part: nothing is lost or told in another order, and a full disk is said."""

import tempfile
from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import MONDAY, community, series
from tests.databases import DatabaseServer

from digital_twin.adapters.postgres import spool
from digital_twin.adapters.postgres.database import open_pool
from digital_twin.adapters.postgres.series import Identity
from digital_twin.adapters.postgres.spool import Spool
from digital_twin.adapters.postgres.store import PostgresStore
from digital_twin.domain.errors import Unavailable
from digital_twin.domain.readings import SeriesValues
from digital_twin.domain.series_days import DayRows, to_day_rows

told = st.tuples(st.integers(0, 2), st.integers(0, 400), st.integers(1, 250), st.booleans(), st.sampled_from([15, 60]))


def readings_of(stretches: list[tuple[int, int, int, bool, int]]) -> list[SeriesValues]:
    """Every value is another one, so that the order in which they were told shows."""
    found: list[SeriesValues] = []
    for number, (home, first, length, has_flags, minutes) in enumerate(stretches):
        values = [1000.0 * number + slot for slot in range(length)]
        start = MONDAY + timedelta(minutes=minutes * first)
        one = series(f"x{minutes}_kw", values, member=f"h{home}", start=start, minutes=minutes)
        flags = np.full(length, 1, dtype=np.uint8) if has_flags else None
        found.append(SeriesValues(one.key, one.grid, one.values, flags))
    return found


def rows_by_resolution(taken_up: Spool) -> dict[int, list[tuple[Any, ...]]]:
    """Each row of a day that comes out, and the readings that went into them."""
    found: dict[int, list[tuple[Any, ...]]] = {}
    for resolution, portion in taken_up.portions():
        rows, counts = to_day_rows(portion, resolution)
        found.setdefault(resolution, []).extend(_plain(rows, taken_up.series))
        found.setdefault(-resolution, []).append((counts.received, counts.duplicate, counts.superseded))
    return {
        resolution: sorted(rows) if resolution > 0 else [tuple(np.sum(rows, axis=0).tolist())]
        for resolution, rows in found.items()
    }


def _plain(rows: DayRows, series_by_number: list[Identity]) -> list[tuple[Any, ...]]:
    flags = np.zeros(rows.slots.shape, np.uint8) if rows.flags is None else rows.flags
    return [
        (day, series_by_number[owner][1], slots.tobytes(), own.tobytes())
        for day, owner, slots, own in zip(rows.day.tolist(), rows.series.tolist(), rows.slots, flags, strict=True)
    ]


@given(stretches=st.lists(told, min_size=1, max_size=8), cuts=st.sets(st.integers(1, 7)), at_once=st.integers(1, 500))
def test_however_a_batch_is_parted_the_same_comes_out(
    stretches: list[tuple[int, int, int, bool, int]], cuts: set[int], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "READINGS_AT_ONCE", at_once)
    monkeypatch.setattr(spool, "_SERIES_TOGETHER", 2)
    readings = readings_of(stretches)
    edges = [0, *sorted(cut for cut in cuts if cut < len(readings)), len(readings)]
    with Spool() as whole, Spool() as parted:
        whole.add(readings)
        for first, end in pairwise(edges):
            parted.add(readings[first:end])
        assert set(parted.series) == set(whole.series)
        assert rows_by_resolution(parted) == rows_by_resolution(whole)


async def test_a_batch_of_several_parts_lies_in_the_folder_of_the_store(
    given_server: DatabaseServer, tmp_path: Path
) -> None:
    opened_there: list[bool] = []

    async def parts() -> AsyncGenerator[list[SeriesValues], None]:
        for day in range(3):
            yield [series("load_kw", [1.0 + day] * 96, start=MONDAY + timedelta(days=day))]
            opened_there.append(any(path.startswith(str(tmp_path)) for path in open_files()))

    async with given_server.database() as address, open_pool(address, size=2) as pool:
        store = PostgresStore(pool, tmp_path)
        async with store.platform() as tx:
            await tx.communities.create(community("solar_valley"))
        async with store.community("solar_valley") as tx:
            receipt = await tx.readings.record_parts(parts(), key="several")
    assert receipt.stored == 3 * 96
    assert opened_there == [False, True, True]  # one part needs no file
    assert not list(tmp_path.iterdir())


def open_files() -> list[str]:
    """Where what this process has open lies, or lay."""
    found: list[str] = []
    for number in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the listing
            found.append(str(number.readlink()))
    return found


def test_a_full_disk_is_said_while_the_batch_is_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Path("/dev/full").open("wb"))  # noqa: SIM115
    with Spool() as taken_up:
        taken_up.add([series("load_kw", [1.0] * 96, member="h1")])  # one part needs no file
        with pytest.raises(Unavailable, match="no space left"):
            taken_up.add([series("load_kw", [2.0] * 96, member="h1")])
