"""A table of readings, one a row, as the store takes them: what CSV and Arrow have in common."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.quality import WORDS, Flags, Quality, told_flags
from digital_twin.domain.reading_rows import Places, ReadingRows, gather
from digital_twin.domain.readings import Series, series_key
from digital_twin.domain.units import Array
from digital_twin.services.reading_parts import ReadingPart, Refusal, pointer

REQUIRED = ("series", "start", "value")
OPTIONAL = ("member_id", "asset_id", "resolution_minutes", "quality")
COLUMNS = (*REQUIRED, *OPTIONAL)
USUAL_MINUTES = 15
READINGS_AT_ONCE = 250_000
"""Rows that are in memory at a time."""

LONGEST_NAME_SHOWN = 64

_OWNER_COLUMNS = ("series", "member_id", "asset_id", "resolution_minutes")
_FLAGS = {word: number for number, word in enumerate(WORDS)}


@dataclass(frozen=True, slots=True, eq=False)
class Listed:
    """A column in which few values repeat: these once, and of each row the place among them."""

    values: list[Any]
    places: Places  # (R,)

    @classmethod
    def absent(cls, rows: int) -> "Listed":
        """A column that is not there."""
        return cls([None], np.zeros(rows, dtype=np.int64))

    @classmethod
    def of(cls, column: Any) -> "Listed":
        """An Arrow array, dictionary-encoded or not."""
        encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        values, places = encoded.dictionary.to_pylist(), encoded.indices
        if places.null_count:
            places = places.fill_null(pa.scalar(len(values), pa.int64()).cast(places.type))
            values.append(None)
        return cls(values, places.to_numpy(zero_copy_only=False).astype(np.int64))

    def row_of(self, place: int) -> int:
        """The first row that holds a value."""
        return int(np.argmax(self.places == place))


def check_names(names: Sequence[str], what: str) -> None:
    """Raises InvalidInput, which names the first wrong one, unless these are the columns of a table of readings."""
    wrong = next((name for name in names if name not in COLUMNS or names.count(name) > 1), None)
    missing = next((name for name in REQUIRED if name not in names), None)
    if wrong is None and missing is None:
        return
    twice = " twice" if wrong in COLUMNS else ""
    found = f"lacks {missing}" if wrong is None else f"has {wrong[:LONGEST_NAME_SHOWN]!r}{twice}"
    raise InvalidInput(
        f"{what} needs the columns {', '.join(REQUIRED)} and may have {', '.join(OPTIONAL)}, each once; it {found}"
    )


@dataclass(frozen=True, slots=True, eq=False)
class TableRows:
    """Rows of a table of readings: its columns of words by name, starts in seconds since 1970, and values."""

    listed: dict[str, Listed]
    start_s: Places  # (R,)
    values: Array  # (R,)
    place: Callable[[int], str]
    """What a row is called to the one who sent it."""

    def part(self) -> ReadingPart:
        """The rows by series. Raises InvalidInput naming the row."""
        owner = self._owner()
        rows = ReadingRows(owner.places, self.start_s, self.values, self._flags())
        series = [self._series(ids, owner, number) for number, ids in enumerate(owner.values)]
        try:
            gathered = gather(series, rows)
        except InvalidInput as error:
            raise self._wrong(0, error.message) from error
        misplaced = [Refusal(rejection, pointer(self.place(row))) for row, rejection in gathered.misplaced]
        return ReadingPart(gathered.readings, lambda index, offset: self.place(gathered.row(index, offset)), misplaced)

    def _column(self, name: str) -> Listed:
        return self.listed.get(name) or Listed.absent(self.start_s.size)

    def _owner(self) -> Listed:
        """The different combinations of ids and resolution in the order of their first rows."""
        found: list[tuple[Any, ...]] = [()]
        places = np.zeros(self.start_s.size, dtype=np.int64)
        for name in _OWNER_COLUMNS:
            column = self._column(name)
            if len(column.values) == 1:
                found = [(*ids, column.values[0]) for ids in found]
                continue
            pairs = Listed.of(pa.array(places * len(column.values) + column.places))
            split = [divmod(pair, len(column.values)) for pair in pairs.values]
            found = [(*found[before], column.values[own]) for before, own in split]
            places = pairs.places
        return Listed(found, places)

    def _series(self, ids: tuple[Any, ...], owner: Listed, number: int) -> Series:
        name, member_id, asset_id, minutes = ids
        try:
            key = series_key(name or "", member_id or None, asset_id or None)
        except InvalidInput as error:
            raise self._wrong(owner.row_of(number), error.message) from error
        return Series(key, minutes or USUAL_MINUTES)

    def _flags(self) -> Flags | None:
        """The quality of each value; None where all are measured."""
        quality = self._column("quality")
        numbers = np.zeros(len(quality.values), dtype=np.uint8)
        for place, word in enumerate(quality.values):
            if word and word not in _FLAGS:
                raise self._wrong(quality.row_of(place), f"quality must be one of {', '.join(WORDS)}")
            numbers[place] = _FLAGS[word] if word else Quality.MEASURED
        try:
            return told_flags(self.values, numbers[quality.places])
        except InvalidInput as error:
            raise self._wrong(error.facts["row"], error.message) from error

    def _wrong(self, row: int, message: str) -> InvalidInput:
        place = self.place(row)
        return InvalidInput(f"{place}: {message.partition(', got')[0]}", field=place)
