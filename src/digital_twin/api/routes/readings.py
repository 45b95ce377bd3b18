"""Readings in and out."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from typing import Annotated

from fastapi import Query, Request, Response
from starlette.responses import StreamingResponse

from digital_twin.api.accept import preferred
from digital_twin.api.reading_formats import ARROW, ARROW_FILE, CSV, JSON, STREAMED_OUT, Arrived, arrived, written
from digital_twin.api.reading_formats.examples import ARROW_EXAMPLE, ARROW_FILE_EXAMPLE, CSV_EXAMPLE
from digital_twin.api.route import GrantDep, TwinDep, requires, twin_router
from digital_twin.api.runs import ACCEPTED, accepted, prefers, prefers_a_run
from digital_twin.api.schemas.model import is_uuid
from digital_twin.api.schemas.readings import (
    COLUMNS_EXAMPLE,
    IngestAnswer,
    ReadColumn,
    ReadingColumns,
    ReadingRows,
    ReadingsAnswer,
    ReadQuery,
    RecordQuery,
    SeriesAnswerBody,
    SeriesList,
)
from digital_twin.api.schemas.runs import RunAnswer
from digital_twin.domain.errors import InvalidInput, NotFound
from digital_twin.services.access import Permission
from digital_twin.services.reading_parts import Delivery
from digital_twin.services.readings import ReadingQuery, SeriesAnswer

router = twin_router("readings")

LENIENT = "handling=lenient"
_BINARY = {"type": "string", "contentEncoding": "base64"}

_WRITE = requires(Permission.READINGS_WRITE, own_replays=True)
_WRITE["openapi_extra"] |= {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": {
                    "anyOf": [
                        {"$ref": "#/components/schemas/ReadingColumns"},
                        {"$ref": "#/components/schemas/ReadingRows"},
                    ]
                },
                "example": COLUMNS_EXAMPLE,
            },
            CSV: {"schema": {"type": "string"}, "example": CSV_EXAMPLE},
            ARROW: {"schema": _BINARY, "example": ARROW_EXAMPLE},
            ARROW_FILE: {"schema": _BINARY, "example": ARROW_FILE_EXAMPLE},
        },
    }
}
BODY_SCHEMAS = (ReadingColumns, ReadingRows)
"""Models of bodies that are parsed by hand, to be listed in the OpenAPI document."""


@router.post("/communities/{community_id}/readings", responses=ACCEPTED, **_WRITE)
async def record_readings(
    community_id: str,
    request: Request,
    response: Response,
    twin: TwinDep,
    grant: GrantDep,
    query: Annotated[RecordQuery, Query()],
) -> IngestAnswer | RunAnswer:
    """Store readings: an answer means committed, and sending again is harmless.

    All are stored, or none: where one cannot be believed the problem names each with its place and reason. With
    `Prefer: handling=lenient` the others are stored, and `rejected` names these. CSV and Arrow may be as large as
    MAX_STREAMED_BODY_MIB says. With `Prefer: respond-async` the readings are kept at once and stored by a Run.
    """
    async with arrived(request, request.app.state.uploads) as body, aclosing(body.parts):
        delivery = Delivery(
            request.headers.get("idempotency-key"),
            body.fingerprint,
            _delay(body, query),
            lenient=prefers(request, LENIENT),
        )
        if delivery.lenient:
            response.headers["Preference-Applied"] = LENIENT
        if prefers_a_run(request):
            run = await twin.imports.submit(grant, body.parts, delivery)
            return await accepted(twin, run, request, response)
        report = await twin.readings.record_parts(grant, body.parts, delivery)
    if report.receipt.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return IngestAnswer.from_report(report)


def _delay(body: Arrived, query: RecordQuery) -> timedelta | None:
    told = [one for one in (body.assumed_delay_minutes, query.assumed_delay_minutes) if one is not None]
    if len(told) > 1:
        raise InvalidInput(
            "give assumed_delay_minutes once, in the body or in the address", field="assumed_delay_minutes"
        )
    return timedelta(minutes=told[0]) if told else None


@router.get("/communities/{community_id}/readings/imports/{import_id}", **requires(Permission.READINGS_WRITE))
async def get_import(community_id: str, import_id: str, twin: TwinDep, grant: GrantDep) -> IngestAnswer:
    """What became of the readings of an import that was a Run; its id is the Run's."""
    if not is_uuid(import_id):
        raise NotFound("there is no import of this id")
    return IngestAnswer.from_import((await twin.imports.result(grant, import_id)).document)


@router.get("/communities/{community_id}/series", **requires(Permission.READINGS_READ))
async def list_series(community_id: str, twin: TwinDep, grant: GrantDep) -> SeriesList:
    """What is stored."""
    return SeriesList(series=[SeriesAnswerBody.from_summary(summary) for summary in await twin.readings.series(grant)])


@router.get(
    "/communities/{community_id}/readings",
    response_model=ReadingsAnswer,
    responses={
        200: {
            "content": {
                CSV: {"schema": {"type": "string"}, "example": CSV_EXAMPLE},
                **{media_type: {"schema": _BINARY} for media_type in STREAMED_OUT if media_type != CSV},
            }
        }
    },
    **requires(Permission.READINGS_READ),
)
async def read_readings(
    community_id: str, request: Request, twin: TwinDep, grant: GrantDep, query: Annotated[ReadQuery, Query()]
) -> ReadingsAnswer | Response:
    """Readings as JSON columns, or by Accept as CSV, Arrow or Parquet of any length, a row for each reading there is.

    `as_of` gives what was known at that instant.
    """
    wanted = ReadingQuery(
        names=tuple(dict.fromkeys(name.strip() for name in query.series.split(",") if name.strip())),
        start=query.start,
        end=query.end,
        member_id=query.member_id,
        asset_id=query.asset_id,
        resolution_minutes=query.resolution,
        as_of=query.as_of,
    )
    media_type = preferred(request.headers.get("accept"), (JSON, *STREAMED_OUT))
    if media_type in STREAMED_OUT:
        spans = twin.readings.read_spans(grant, wanted)
        first = await anext(spans)  # what is wrong with the question is answered as a problem
        return StreamingResponse(written(_with_first(first, spans), media_type), media_type=media_type)
    answers = await twin.readings.read(grant, wanted)
    return ReadingsAnswer(series=[ReadColumn.from_answer(answer) for answer in answers])


async def _with_first(
    first: list[SeriesAnswer], others: AsyncGenerator[list[SeriesAnswer], None]
) -> AsyncGenerator[list[SeriesAnswer], None]:
    async with aclosing(others):
        yield first
        async for span in others:
            yield span
