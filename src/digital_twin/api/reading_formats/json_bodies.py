"""JSON in: columns of series, or rows one by one."""

import re
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from digital_twin.api.problems import HttpProblem
from digital_twin.api.schemas.readings import ReadingColumns, ReadingRows
from digital_twin.services.reading_parts import ReadingPart

_A_NAME = re.compile(rb'"\s*:')


def parse_json(body: bytes) -> tuple[ReadingPart, int | None]:
    """The readings of a body, and the delay in minutes that it says they had.

    Raises:
        InvalidInput: a value, unit or time breaks a rule, named by its place.
        RequestValidationError: the JSON has another shape.
        HttpProblem: 400 for a name given twice.
    """
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
