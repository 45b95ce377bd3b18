"""A batch until it is merged: one part in memory, more of them in a file, sorted by what is merged together."""

import errno
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import IO

import numpy as np

from digital_twin.adapters.postgres.series import Identity
from digital_twin.domain.errors import Unavailable
from digital_twin.domain.readings import SeriesValues
from digital_twin.domain.series_days import DAY_MINUTES
from digital_twin.domain.stretches import Stretches

READINGS_AT_ONCE = 1_000_000
"""Portions are merged one by one, each about as large as a part."""

_SERIES_TOGETHER = 1024
"""Rows of so many series and one day lie together in the file: at one minute, too, they make one portion."""

_Place = tuple[int, int, int]
"""Resolution, day and group of series."""


@dataclass(frozen=True, slots=True)
class _Extent:
    """Where stretches lie in the file."""

    offset: int
    stretches: int
    readings: int
    has_flags: bool


class Spool:
    """Readings of one batch in the order they were told; series are numbered as they come."""

    def __init__(self, folder: Path | None = None) -> None:
        """A file lies, nameless, in the folder; without one, where the system keeps what is temporary."""
        self._folder = folder
        self._numbers: dict[Identity, int] = {}
        self._first: list[tuple[int, Stretches]] | None = None
        self._file: IO[bytes] | None = None
        self._extents: dict[_Place, list[_Extent]] = defaultdict(list)

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with suppress(OSError):  # where a full disk still holds back what nobody needs any more
                self._file.close()

    @property
    def is_empty(self) -> bool:
        return self._first is None and self._file is None

    @property
    def series(self) -> list[Identity]:
        """By number."""
        return list(self._numbers)

    def add(self, readings: Sequence[SeriesValues]) -> None:
        """Take up a part.

        Raises:
            Unavailable: there is no space left for it.
        """
        groups: dict[int, list[SeriesValues]] = defaultdict(list)
        for one in readings:
            groups[one.grid.step_minutes].append(one)
        part = [(resolution, Stretches.of(self._numbered(group), group)) for resolution, group in groups.items()]
        if self.is_empty:
            self._first = part
            return
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed when the block ends
                self._write(self._first or [])
                self._first = None
            self._write(part)
            self._file.flush()  # a full disk is found while the part is taken up
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise Unavailable(
                "there is no space left to take up a body of this size; try again when there is some",
                retry_after_s=60,
            ) from error

    def portions(self) -> Iterator[tuple[int, Stretches]]:
        """Everything, once, with the resolution of each portion; what meets in a slot is in one portion."""
        if self._file is None:
            yield from self._first or []
            return
        for resolution, places in groupby(sorted(self._extents), key=itemgetter(0)):
            held: list[_Extent] = []
            for place in places:
                held += self._extents[place]
                if sum(one.readings for one in held) >= READINGS_AT_ONCE:
                    yield resolution, Stretches.joined([self._read(one) for one in held])
                    held = []
            if held:
                yield resolution, Stretches.joined([self._read(one) for one in held])

    def _numbered(self, group: Sequence[SeriesValues]) -> list[int]:
        numbers, keys = self._numbers, [one.key for one in group]
        resolution = group[0].grid.step_minutes
        owners = [(key.name, key.member_id, key.asset_id, resolution) for key in keys]
        return [numbers.setdefault(owner, len(numbers)) for owner in owners]

    def _write(self, part: Sequence[tuple[int, Stretches]]) -> None:
        for resolution, told in part:
            slots = DAY_MINUTES // resolution
            pieces = told.cut(slots)
            places = np.stack([pieces.first_slot // slots, pieces.series // _SERIES_TOGETHER])
            unique, group = np.unique(places, axis=1, return_inverse=True)
            order = np.argsort(group, kind="stable")
            edges = np.searchsorted(group[order], np.arange(unique.shape[1] + 1))
            for index, (day, together) in enumerate(unique.T.tolist()):
                chosen = pieces.take(order[edges[index] : edges[index + 1]])
                self._extents[resolution, day, together].append(self._append(chosen))

    def _append(self, told: Stretches) -> _Extent:
        assert self._file is not None
        extent = _Extent(self._file.tell(), told.series.size, told.values.size, told.flags is not None)
        for column in (told.series, told.first_slot, told.length, told.values):
            self._file.write(column.tobytes())
        if told.flags is not None:
            self._file.write(told.flags.tobytes())
        return extent

    def _read(self, extent: _Extent) -> Stretches:
        assert self._file is not None
        self._file.seek(extent.offset)
        series, first_slot, length = np.frombuffer(self._file.read(24 * extent.stretches), np.int64).reshape(3, -1)
        values = np.frombuffer(self._file.read(4 * extent.readings), np.float32)
        flags = np.frombuffer(self._file.read(extent.readings), np.uint8) if extent.has_flags else None
        return Stretches(series, first_slot, length, values, flags)
