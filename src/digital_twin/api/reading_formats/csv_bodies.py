"""CSV in: blocks of whole lines, one after the other."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv

from digital_twin.api.reading_formats.table_rows import Listed, TableRows, check_names
from digital_twin.api.schemas.model import parse_instant
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.reading_rows import Places
from digital_twin.domain.time import any_utc
from digital_twin.services.reading_parts import ReadingPart

BLOCK_BYTES = 8 * 2**20
LONGEST_LINE_BYTES = 64 * 2**10

_WORD = pa.dictionary(pa.int32(), pa.string())
_ROW = re.compile(r"Row #(\d+): (?:Expected (\d+) columns, got (\d+))?")


def csv_parts(file: BinaryIO) -> Iterator[ReadingPart]:
    """The readings of a CSV file, block by block.

    Raises:
        InvalidInput: a line cannot be understood; it is named.
    """
    names = _header(file)
    line = 2
    while content := file.read(BLOCK_BYTES):
        content += _rest_of_line(file)
        if content.strip():
            yield _Block(names, content, line).part()
        line += content.count(b"\n")


def _header(file: BinaryIO) -> list[str]:
    try:
        text = file.readline(LONGEST_LINE_BYTES).decode("utf-8-sig")
        names = next(csv.reader([text], strict=True), [])
    except UnicodeDecodeError as error:
        raise InvalidInput("the CSV must be UTF-8") from error
    except csv.Error as error:
        raise InvalidInput("the first line of the CSV must name its columns", field="line 1") from error
    check_names(names, "the CSV")
    return names


def _rest_of_line(file: BinaryIO) -> bytes:
    rest = file.readline(LONGEST_LINE_BYTES)
    if len(rest) == LONGEST_LINE_BYTES and not rest.endswith(b"\n"):
        raise InvalidInput(f"the CSV has a line of more than {LONGEST_LINE_BYTES} bytes")
    return rest


@dataclass(frozen=True, eq=False)
class _Block:
    """Whole lines of a file, the first of them with its number."""

    names: Sequence[str]
    content: bytes
    first_line: int

    def part(self) -> ReadingPart:
        table = self._table()
        listed = {name: Listed.of(table.column(name).combine_chunks()) for name in self.names if name != "value"}
        starts = listed.pop("start")
        for name in ("member_id", "asset_id"):
            if name in listed:
                listed[name] = Listed([_plain(word) for word in listed[name].values], listed[name].places)
        if "resolution_minutes" in listed:
            listed["resolution_minutes"] = self._numbers(listed["resolution_minutes"])
        values = table.column("value").to_numpy()
        return TableRows(listed, self._seconds(starts), values, lambda row: f"line {self.line(row)}").part()

    def line(self, row: int) -> int:
        """The line that a row, counted from 0, stands in."""
        return self.first_line + int(self._lines_with_rows[row])

    @cached_property
    def _lines_with_rows(self) -> Places:
        lines = enumerate(self.content.split(b"\n"))
        return np.array([number for number, line in lines if line.rstrip(b"\r")], dtype=np.int64)

    def _table(self) -> Any:
        types = {name: pa.float64() if name == "value" else _WORD for name in self.names}
        try:
            return arrow_csv.read_csv(
                pa.BufferReader(self.content),
                arrow_csv.ReadOptions(
                    use_threads=False, block_size=len(self.content) + 1, column_names=list(self.names)
                ),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=types, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=True
                ),
            )
        except pa.ArrowException as error:
            raise self._understood(str(error)) from error

    def _understood(self, said: str) -> InvalidInput:
        """Arrow's complaint in words that do not repeat the line."""
        found = _ROW.search(said)
        if "UTF8" in said or found is None:
            return InvalidInput("the CSV must be UTF-8" if "UTF8" in said else "the CSV cannot be read")
        field = f"line {self.line(int(found[1]) - 1)}"
        if found[2] is None:
            return InvalidInput(f"{field}: value must be a number", field=field)
        too_many = int(found[3]) > int(found[2])  # such as a decimal comma, of which half would be lost
        reason = "more values than columns; decimals are written with a point" if too_many else "values are missing"
        return InvalidInput(f"{field}: {reason}", field=field)

    def _seconds(self, starts: Listed) -> Places:
        seconds = np.empty(len(starts.values), dtype=np.int64)
        for place, text in enumerate(starts.values):
            try:
                seconds[place] = _second_of(text or "")
            except ValueError as error:
                raise self._wrong(starts, place, "start must be an RFC 3339 time in whole seconds") from error
            except InvalidInput as error:
                raise self._wrong(starts, place, error.message.partition(", got")[0]) from error
        return seconds[starts.places]

    def _numbers(self, column: Listed) -> Listed:
        for place, text in enumerate(column.values):
            if text and not (text.isascii() and text.isdigit() and len(text) <= 4):
                raise self._wrong(column, place, "resolution_minutes must be a whole number")
        return Listed([int(text) if text else None for text in column.values], column.places)

    def _wrong(self, column: Listed, place: int, message: str) -> InvalidInput:
        field = f"line {self.line(column.row_of(place))}"
        return InvalidInput(f"{field}: {message}", field=field)


@lru_cache(maxsize=65_536)
def _second_of(start: str) -> int:
    """Seconds since 1970; files repeat the same times for every series."""
    instant = any_utc(parse_instant(start), "start")
    if instant.microsecond:
        raise ValueError("start lies between two seconds")
    return int(instant.timestamp())


def _plain(text: str | None) -> str | None:
    """An id as it was before an apostrophe kept it from looking like a formula."""
    return text.removeprefix("'") if text and text.startswith("'-") else text
