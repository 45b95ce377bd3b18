"""Readings in the formats that travel: JSON rows or columns and CSV in, JSON columns and CSV out."""

import csv
import io
import re
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import orjson
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from digital_twin.api.problems import HttpProblem
from digital_twin.api.schemas.model import parse_instant
from digital_twin.api.schemas.readings import MAX_ROWS, ReadingColumns, ReadingRows
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.reading_rows import RowsBySeries
from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.domain.time import as_utc
from digital_twin.services.readings import SeriesAnswer

JSON, CSV = "application/json", "text/csv"
CSV_COLUMNS = ("series", "start", "value")
_A_NAME = re.compile(rb'"\s*:')
CSV_OPTIONAL = ("member_id", "asset_id", "resolution_minutes")
_CSV_IDS = ("series", *CSV_OPTIONAL)


async def parse_readings(request: Request) -> tuple[list[SeriesValues], int | None]:
    """The readings of a body by its Content-Type, and the delay that imported history is assumed to have had.

    Raises:
        InvalidInput: a value, unit or time breaks a rule, named by its place.
        RequestValidationError: the JSON has another shape.
        HttpProblem: 415 for other content types.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await request.body()
    if content_type == JSON:
        return _from_json(body)
    if content_type == CSV:
        return _from_csv(body), None
    raise HttpProblem(415, f"send readings as {JSON} (columns or rows) or {CSV}")


def _from_json(body: bytes) -> tuple[list[SeriesValues], int | None]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestValidationError([{"type": "json_invalid", "loc": ("body",), "msg": ""}]) from error
    model = ReadingRows if isinstance(document, dict) and "readings" in document else ReadingColumns
    try:
        parsed = model.model_validate(document)
    except ValidationError as error:
        errors = [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_input=False)]
        raise RequestValidationError(errors) from error
    _refuse_doubles(body, document)
    delay = parsed.assumed_delay_minutes if isinstance(parsed, ReadingColumns) else None
    return parsed.to_domain(), delay


def _refuse_doubles(body: bytes, document: dict[str, Any]) -> None:
    """Of a name that stands twice the parser keeps one value, and the other would be lost without a word.

    Bodies are large, so that names are counted; a valid body has none but those of itself and of its list's entries.
    """
    entries = [entry for value in document.values() if isinstance(value, list) for entry in value]
    if len(_A_NAME.findall(body)) != len(document) + sum(map(len, entries)):
        raise HttpProblem(400, "an object in the body has the same name twice")


def _from_csv(body: bytes) -> list[SeriesValues]:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput("the CSV must be UTF-8") from error
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = next(lines, [])
        _check_header(names)
        rows = _CsvRows(names)
        for number, line in enumerate(filter(None, lines), 2):
            rows.add(number, line)
    except csv.Error as error:
        raise InvalidInput(f"the CSV cannot be read near line {lines.line_num}: {error}") from error
    return rows.collected.stretches()


def _check_header(names: list[str]) -> None:
    wanted = {*CSV_COLUMNS} <= {*names} <= {*CSV_COLUMNS, *CSV_OPTIONAL}
    if not wanted or len(set(names)) < len(names):
        raise InvalidInput(
            f"the CSV needs the columns {', '.join(CSV_COLUMNS)} and may have {', '.join(CSV_OPTIONAL)}, each once"
        )


class _CsvRows:
    """Rows of one file. What repeats from row to row, its ids and its times, is read once."""

    def __init__(self, names: list[str]) -> None:
        self._width = len(names)
        self._start, self._value = names.index("start"), names.index("value")
        # a line is made one longer than the header: there stands what has no column
        self._ids = itemgetter(*(names.index(name) if name in names else self._width for name in _CSV_IDS))
        self._series: dict[tuple[str, ...], tuple[int, list[int], list[float]]] = {}
        self._slots: dict[tuple[str, int], int] = {}
        self.collected = RowsBySeries()

    def add(self, number: int, line: list[str]) -> None:
        """Raises InvalidInput naming the line."""
        if number > MAX_ROWS + 1:
            raise InvalidInput(f"the CSV has more than {MAX_ROWS} rows; send it in parts")
        field = f"line {number}"
        if len(line) > self._width:  # such as a decimal comma, of which half would be lost
            raise InvalidInput(f"{field}: more values than columns; decimals are written with a point", field=field)
        line += [""] * (self._width + 1 - len(line))
        try:
            step_minutes, slots, values = self._series_of(self._ids(line))
            slot, value = self._slot_of(line[self._start], step_minutes), float(_digits(line[self._value]) or "nan")
        except InvalidInput as error:
            raise InvalidInput(f"{field}: {error.message.partition(', got')[0]}", field=field) from error
        except (ValueError, TypeError) as error:
            raise InvalidInput(f"{field}: start must be an RFC 3339 time and value a number", field=field) from error
        slots.append(slot)
        values.append(value)

    def _series_of(self, ids: tuple[str, ...]) -> tuple[int, list[int], list[float]]:
        known = self._series.get(ids)
        if known is None:
            name, member_id, asset_id, resolution = ids
            step_minutes = int(_digits(resolution) or 15)
            key = SeriesKey(name, _plain(member_id), _plain(asset_id))
            known = self._series[ids] = (step_minutes, *self.collected.series(key, step_minutes))
        return known

    def _slot_of(self, start: str, step_minutes: int) -> int:
        known = self._slots.get((start, step_minutes))
        if known is None:
            instant = as_utc(parse_instant(start), "start")
            known = self._slots[start, step_minutes] = self.collected.slot(instant, step_minutes)
        return known


def _digits(text: str) -> str:
    """Python reads `1_000` and the digits of other scripts as numbers; a meter that writes them is not understood."""
    if text and not (text.isascii() and "_" not in text):
        raise ValueError("digits of another kind")
    return text


def to_csv(answers: Sequence[SeriesAnswer]) -> str:
    """Readings as long CSV in the form that ingestion takes; text starting like a formula is neutralised by its form.

    Ids and names hold only letters, digits, `_` and `-`; a leading `-` is quoted with an apostrophe.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow((*CSV_COLUMNS, *CSV_OPTIONAL))
    for answer in answers:
        readings, key = answer.readings, answer.readings.key
        ids = [_safe(key.member_id), _safe(key.asset_id), readings.grid.step_minutes]
        starts = np.datetime_as_string(readings.grid.starts, unit="s")
        for start, value in zip(starts.tolist(), readings.values.tolist(), strict=True):
            if value == value:
                writer.writerow((key.name, f"{start}Z", value, *ids))
    return out.getvalue()


def _plain(text: str | None) -> str | None:
    """An id as `_safe` was given it."""
    return text.removeprefix("'") if text and text.startswith("'-") else text or None


def _safe(identifier: str | None) -> str:
    if identifier is None:
        return ""
    return f"'{identifier}" if identifier.startswith("-") else identifier
