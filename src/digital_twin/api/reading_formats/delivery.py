"""A body of readings as it arrives: taken in whole before it is stored, so that no slow line holds the store up."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from fastapi import Request

from digital_twin.api.problems import HttpProblem
from digital_twin.api.reading_formats.arrow_bodies import arrow_file_parts, arrow_parts
from digital_twin.api.reading_formats.csv_bodies import csv_parts
from digital_twin.api.reading_formats.json_bodies import parse_json
from digital_twin.api.reading_formats.media_types import ARROW, ARROW_FILE, CSV, JSON, STREAMED_IN, essence
from digital_twin.domain.errors import InvalidInput, Unavailable
from digital_twin.domain.readings import SeriesKey
from digital_twin.services.reading_parts import ReadingPart

SMALL_BYTES = 2**20
"""A body up to this size needs no file, and no thread to read it in."""

MAX_SERIES = 100_000
"""Of one body: what is known of each is kept in memory until the last part has come."""

_READERS = {CSV: csv_parts, ARROW: arrow_parts, ARROW_FILE: arrow_file_parts}


@dataclass(frozen=True, slots=True)
class Arrived:
    """Readings of a body, part by part as they are asked for."""

    parts: AsyncGenerator[ReadingPart, None]
    fingerprint: bytes
    assumed_delay_minutes: int | None


@asynccontextmanager
async def arrived(request: Request, folder: Path) -> AsyncGenerator[Arrived, None]:
    """The readings of a request by its Content-Type; a large body lies in a nameless file in the folder meanwhile.

    Raises (also while the parts are taken):
        InvalidInput: a value, unit or time breaks a rule, named by its place.
        RequestValidationError: JSON of another shape.
        HttpProblem: 415 for other content types.
        Unavailable: there is no space for the body.
    """
    content_type = essence(request.headers.get("content-type", ""))
    if content_type not in (JSON, *STREAMED_IN):
        raise HttpProblem(415, f"send readings as {JSON} (columns or rows), {CSV}, {ARROW} or {ARROW_FILE}")
    if essence(request.headers.get("content-encoding", "identity")) != "identity":
        raise HttpProblem(415, "send the body as it is, without a Content-Encoding")
    if content_type == JSON:
        body = await request.body()
        part, delay = parse_json(body) if len(body) <= SMALL_BYTES else await asyncio.to_thread(parse_json, body)
        yield Arrived(_one(part), hashlib.sha256(body).digest(), delay)
        return
    with tempfile.SpooledTemporaryFile(SMALL_BYTES, dir=str(folder)) as spool:
        file = cast(BinaryIO, spool)
        fingerprint = await _take_in(request, file)
        size = file.tell()
        file.seek(0)
        parts = _READERS[content_type](file)
        yield Arrived(_one_by_one(parts, in_thread=size > SMALL_BYTES), fingerprint, None)


async def _take_in(request: Request, file: BinaryIO) -> bytes:
    """Write the body to the file; its digest."""
    digest = hashlib.sha256()
    try:
        async for chunk in request.stream():
            digest.update(chunk)
            file.write(chunk)
    except OSError as error:
        raise Unavailable("there is no space for the body now; try again later", retry_after_s=60) from error
    return digest.digest()


async def _one(part: ReadingPart) -> AsyncGenerator[ReadingPart, None]:
    yield part


async def _one_by_one(parts: Iterator[ReadingPart], *, in_thread: bool) -> AsyncGenerator[ReadingPart, None]:
    """Each made, where that takes long, in a thread, so that other requests are answered meanwhile."""
    found, series = False, set[SeriesKey]()
    while (part := await asyncio.to_thread(next, parts, None) if in_thread else next(parts, None)) is not None:
        found = found or bool(part.readings or part.misplaced)
        series.update(one.key for one in part.readings)
        if len(series) > MAX_SERIES:
            raise InvalidInput(f"a body may tell of at most {MAX_SERIES} series; send it in parts")
        yield part
    if not found:
        raise InvalidInput("the body holds no readings")
