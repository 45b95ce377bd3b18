"""Documents of the ENTSO-E Transparency Platform: time series of the IEC 62325 market documents.

Source: ENTSO-E, Transparency Platform RESTful API user guide; Implementation guide of the curve types (A01, A03).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
import numpy as np
from defusedxml import DefusedXmlException

from digital_twin.domain.errors import InsufficientData, InvalidInput
from digital_twin.domain.time import TimeGrid, as_utc
from digital_twin.domain.units import Array

FIXED_BLOCKS, VARIABLE_BLOCKS = "A01", "A03"
STEP_MINUTES = 15
"""The finest resolution of the platform; coarser periods are the same throughout their steps."""

MOST_POINTS = 40_000
"""More than a year of quarters: a longer period is a mistake, or meant to do harm."""

_RESOLUTIONS = {"PT15M": 15, "PT30M": 30, "PT60M": 60, "PT1H": 60}
_NO_DATA = "no matching data"


@dataclass(frozen=True, slots=True, eq=False)
class Period:
    """A stretch of a time series with a value for each step; NaN where none is told."""

    grid: TimeGrid
    values: Array  # (T,)


@dataclass(frozen=True, slots=True, eq=False)
class PublishedSeries:
    """A time series with what its elements say of it."""

    said: dict[str, str]
    periods: tuple[Period, ...]


@dataclass(frozen=True, slots=True, eq=False)
class MarketDocument:
    """A document with its time series."""

    created_at: datetime
    series: tuple[PublishedSeries, ...]


def read_document(body: bytes, *, root: str, document_type: str, value: str) -> MarketDocument:
    """The document, whose points carry their number in the element `value`.

    Raises:
        InsufficientData: the platform has nothing for this question.
        InvalidInput: another document than was asked for, or none.
    """
    try:
        document = defusedxml.ElementTree.fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise InvalidInput("entsoe answers with what is no whole XML document") from error
    if _name(document) == "Acknowledgement_MarketDocument":
        raise _reason(document)
    if _name(document) != root or _text(document, "type") != document_type:
        raise InvalidInput(f"entsoe answers with another document than {root} {document_type}")
    series = tuple(_series(one, value) for one in _children(document, "TimeSeries"))
    return MarketDocument(_instant(_text(document, "createdDateTime")), series)


def expand_curve(points: Sequence[tuple[int, float]], count: int, curve: str) -> Array:
    """The value of each of `count` steps from points at positions that count from 1.

    Blocks of variable size (A03) hold until the next point or the end; between blocks of fixed size (A01) a position
    that is left out has no value.

    Raises:
        InvalidInput: positions that do not ascend, or lie outside.
    """  # -> (T,)
    positions = [position for position, _ in points]
    ascend = all(before < after for before, after in pairwise(positions))
    if not points or not ascend or positions[0] < 1 or positions[-1] > count:
        raise InvalidInput(f"entsoe answers with positions that do not ascend within 1..{count}")
    values = np.full(count, np.nan)
    for position, value in points:
        values[position - 1] = value
    if curve == VARIABLE_BLOCKS:
        known = np.where(np.isfinite(values), np.arange(count), -1)
        latest = np.maximum.accumulate(known)
        values = np.where(latest >= 0, values[latest], np.nan)
    return values


def joined(periods: Sequence[Period]) -> Period:
    """Several periods as one in quarters of an hour, NaN between them; where two overlap, the finer one counts.

    Raises:
        InvalidInput: they lie more than a year and a month apart.
    """
    start, end = min(one.grid.start for one in periods), max(one.grid.end for one in periods)
    if (end - start) > MOST_POINTS * timedelta(minutes=STEP_MINUTES):
        raise InvalidInput("entsoe answers with periods that lie years apart")
    grid = TimeGrid.spanning(start, end, STEP_MINUTES)
    values = np.full(grid.steps, np.nan)
    for one in sorted(periods, key=lambda period: -period.grid.step_minutes):
        first = round((one.grid.start - start) / grid.step)
        fine = np.repeat(one.values, one.grid.step_minutes // STEP_MINUTES)
        told = np.isfinite(fine)
        values[first : first + fine.size][told] = fine[told]
    return Period(grid, values)


def _series(element: Element, value: str) -> PublishedSeries:
    said = {_name(leaf): (leaf.text or "").strip() for leaf in _leaves(element)}
    curve = said.get("curveType", VARIABLE_BLOCKS)
    if curve not in (FIXED_BLOCKS, VARIABLE_BLOCKS):
        raise InvalidInput(f"entsoe answers with curves of type {curve[:20]!r}, known are A01 and A03")
    return PublishedSeries(said, tuple(_period(one, value, curve) for one in _children(element, "Period")))


def _period(element: Element, value: str, curve: str) -> Period:
    resolution = _text(element, "resolution")
    if resolution not in _RESOLUTIONS:
        raise InvalidInput(f"entsoe answers in steps of {resolution[:20]!r}, known are {', '.join(_RESOLUTIONS)}")
    interval = next(_children(element, "timeInterval"), None)
    if interval is None:
        raise InvalidInput("entsoe answers with a period that has no timeInterval")
    start, end = _instant(_text(interval, "start")), _instant(_text(interval, "end"))
    if end - start > MOST_POINTS * timedelta(minutes=_RESOLUTIONS[resolution]):
        raise InvalidInput("entsoe answers with a period of years")
    grid = TimeGrid.spanning(start, end, _RESOLUTIONS[resolution])
    points = [_point(one, value) for one in _children(element, "Point")]
    return Period(grid, expand_curve(points, grid.steps, curve))


def _point(element: Element, value: str) -> tuple[int, float]:
    try:
        position, number = int(_text(element, "position")), float(_text(element, value))
    except ValueError as error:
        raise InvalidInput(f"entsoe answers with a point without position and {value}") from error
    if not math.isfinite(number):
        raise InvalidInput(f"entsoe answers with a {value} that is no number")
    return position, number


def _reason(document: Element) -> InsufficientData | InvalidInput:
    texts = [_text(reason, "text") for reason in _children(document, "Reason")]
    text = "; ".join(texts)[:200] or "no reason given"
    if _NO_DATA in text.lower():
        return InsufficientData("entsoe has published nothing for this time and zone yet")
    return InvalidInput(f"entsoe refuses the question: {text}")


def _instant(text: str) -> datetime:
    try:
        return as_utc(datetime.fromisoformat(text))
    except ValueError as error:
        raise InvalidInput(f"entsoe answers with {text[:40]!r} for a time") from error


def _name(element: Element) -> str:
    """Without the namespace, which names the document's version."""
    return str(element.tag).rpartition("}")[2]


def _children(element: Element, name: str) -> Iterator[Element]:
    return (child for child in element if _name(child) == name)


def _leaves(element: Element) -> Iterator[Element]:
    """What is said of a time series itself or in one of its groups; not its periods."""
    for child in element:
        if _name(child) != "Period":
            yield from child if len(child) else (child,)


def _text(element: Element, name: str) -> str:
    child = next(_children(element, name), None)
    return "" if child is None else (child.text or "").strip()
