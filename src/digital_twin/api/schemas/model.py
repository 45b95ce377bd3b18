"""What all bodies share: strict types, finite bounded numbers, aware times, no unknown fields."""

import re
import uuid
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.identifiers import IDENTIFIER_PATTERN
from digital_twin.domain.time import any_utc, as_utc
from digital_twin.domain.units import Array

MAX_STEPS_IN_BODY = 35_136
"""A leap year of quarters: the longest series one body may carry."""


class Body(BaseModel):
    """A request body or a part of one."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class Answer(BaseModel):
    """An answer or a part of one."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=True, ser_json_inf_nan="null")


_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:\d\d)?\Z", re.ASCII)


def parse_instant(value: Any) -> Any:
    """The time that the text names, aware or not. Raises InvalidValue."""
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _TIME.match(value):  # Python's own reader ends at a NUL, for one
        raise InvalidValue("must be an RFC 3339 time such as 2026-03-01T00:00:00Z")
    try:
        return _read_time(value.upper())
    except ValueError as error:
        raise InvalidValue("must be an RFC 3339 time such as 2026-03-01T00:00:00Z") from error


@lru_cache(maxsize=4096)
def _read_time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _in_utc(value: datetime) -> datetime:
    try:
        return as_utc(value)
    except InvalidInput as error:
        raise InvalidValue(error.message.partition(", got")[0]) from error


def _in_any_year(value: datetime) -> datetime:
    try:
        return any_utc(value)
    except InvalidInput as error:
        raise InvalidValue(error.message.partition(", got")[0]) from error


def is_uuid(value: str) -> bool:
    """Whether it is one in its usual form."""
    try:
        return str(uuid.UUID(value)) == value.lower()
    except ValueError:
        return False


def _plain_truth(value: Any) -> Any:
    if isinstance(value, str) and value not in ("true", "false"):
        raise InvalidValue("must be true or false")
    return value


def _plain_digits(value: Any) -> Any:
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise InvalidValue("must be a whole number in plain digits")
    return value


def array_of(values: list[float] | None) -> Array | None:
    """A list of a body as the core takes it."""
    return None if values is None else np.array(values, dtype=np.float64)


def array_or_number(values: list[float] | float | None) -> Array | float | None:
    """The same where one number may stand for all intervals."""
    return array_of(values) if isinstance(values, list) else values


class InvalidValue(ValueError):
    """A rule that a value breaks; the sentence never repeats the value."""


Instant = Annotated[
    datetime,
    BeforeValidator(parse_instant),
    AfterValidator(_in_utc),
    Field(examples=["2026-03-01T00:00:00Z"], json_schema_extra={"format": "date-time"}),
]
AnyInstant = Annotated[
    datetime,
    BeforeValidator(parse_instant),
    AfterValidator(_in_any_year),
    Field(examples=["2026-03-01T00:00:00Z"], json_schema_extra={"format": "date-time"}),
]
"""What a device says, whose clock may say 1970 or 2106: of a reading that is then refused by itself."""
Identifier = Annotated[str, StringConstraints(pattern=IDENTIFIER_PATTERN)]
Text = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
PowerKw = Annotated[float, Field(ge=0, le=1e6)]
EnergyKwh = Annotated[float, Field(ge=0, le=1e7)]
PricePerKwh = Annotated[float, Field(ge=-1e3, le=1e3)]
Fraction = Annotated[float, Field(ge=0, le=1)]
PLAIN_DIGITS = BeforeValidator(_plain_digits)
"""For whole numbers in an address: Python would read `1_0` and ` 10` as 10."""
PLAIN_TRUTH = BeforeValidator(_plain_truth)
"""For what is true or false in an address: no other words for it."""
ResolutionMinutes = Annotated[int, Field(ge=1, le=60, examples=[15])]
Cursor = Annotated[str, StringConstraints(max_length=256)]


class Provenance(Answer):
    """Where an answer comes from, so that it can be made again."""

    as_of: Instant
    code_version: str
    assumptions: list[str] = Field(default_factory=list, description="Documented priors that stood in for missing data")
    data_start: Instant | None = None
    data_end: Instant | None = None
    inputs_sha256: str | None = None
    solver: str | None = None
    models: dict[str, str] = Field(default_factory=dict)
    sources: dict[str, str] = Field(default_factory=dict, description="Where each input series came from")
    notes: list[str] = Field(default_factory=list)


class Page(Answer):
    """A page of a list; `next` is the cursor of the one after it."""

    next: str | None = None
