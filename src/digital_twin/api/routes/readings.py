"""Readings in and out."""

import hashlib
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Query, Request, Response

from digital_twin.api.reading_formats import CSV, JSON, parse_readings, to_csv
from digital_twin.api.route import GrantDep, TwinDep, requires, twin_router
from digital_twin.api.runs import ACCEPTED, accepted, prefers_a_run
from digital_twin.api.schemas.model import is_uuid
from digital_twin.api.schemas.readings import (
    COLUMNS_EXAMPLE,
    IngestAnswer,
    ReadColumn,
    ReadingColumns,
    ReadingRows,
    ReadingsAnswer,
    ReadQuery,
    SeriesAnswerBody,
    SeriesList,
)
from digital_twin.api.schemas.runs import RunAnswer
from digital_twin.domain.errors import NotFound
from digital_twin.services.access import Permission
from digital_twin.services.readings import ReadingQuery

router = twin_router("readings")

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
            CSV: {
                "schema": {"type": "string"},
                "example": "series,start,value\nload_kw,2026-03-01T00:00:00Z,41.5\n",
            },
        },
    }
}
BODY_SCHEMAS = (ReadingColumns, ReadingRows)
"""Models of bodies that are parsed by hand, to be listed in the OpenAPI document."""


@router.post("/communities/{community_id}/readings", responses=ACCEPTED, **_WRITE)
async def record_readings(
    community_id: str, request: Request, response: Response, twin: TwinDep, grant: GrantDep
) -> IngestAnswer | RunAnswer:
    """Store readings: an answer means committed; sending again is harmless; every refused reading is named.

    With `Prefer: respond-async` they are kept at once and stored by a Run: for files that take longer than one likes
    to wait.
    """
    readings, delay_minutes = await parse_readings(request)
    options: dict[str, Any] = {
        "idempotency_key": request.headers.get("idempotency-key"),
        "fingerprint": hashlib.sha256(await request.body()).digest(),
        "assumed_delay": None if delay_minutes is None else timedelta(minutes=delay_minutes),
    }
    if prefers_a_run(request):
        return await accepted(twin, await twin.imports.submit(grant, readings, **options), request, response)
    report = await twin.readings.record(grant, readings, **options)
    if report.receipt.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return IngestAnswer.from_report(report)


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
    responses={200: {"content": {CSV: {"schema": {"type": "string"}}}}},
    **requires(Permission.READINGS_READ),
)
async def read_readings(
    community_id: str, request: Request, twin: TwinDep, grant: GrantDep, query: Annotated[ReadQuery, Query()]
) -> ReadingsAnswer | Response:
    """Readings as JSON columns, or as CSV with `Accept: text/csv`; `as_of` gives what was known at that instant."""
    wanted = ReadingQuery(
        names=tuple(dict.fromkeys(name.strip() for name in query.series.split(",") if name.strip())),
        start=query.start,
        end=query.end,
        member_id=query.member_id,
        asset_id=query.asset_id,
        resolution_minutes=query.resolution,
        as_of=query.as_of,
    )
    answers = await twin.readings.read(grant, wanted)
    if request.headers.get("accept", "").partition(";")[0].strip().lower() == CSV:
        return Response(to_csv(answers), media_type=CSV)
    return ReadingsAnswer(series=[ReadColumn.from_answer(answer) for answer in answers])
