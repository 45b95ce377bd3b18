"""Weather from Open-Meteo: forecasts, and the past from its archive of reanalyses.

Its radiation is the mean of the interval that a time ends, ours of the one that it starts; its temperature and wind are
those of the instant. Source: Open-Meteo, documentation of the Weather Forecast API and of the Historical Weather API.
"""

import json
import math
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any, NoReturn

import httpx
import numpy as np

from digital_twin.adapters.web_source import Reply, WebSource
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.feeds import Place
from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.domain.time import TimeGrid
from digital_twin.services.ports import Clock, WeatherAnswer

NAME = "open-meteo"
FORECAST_DAYS = 7

_VARIABLES = {
    # our series: its name there, and the unit that is asked for
    "temperature_c": ("temperature_2m", "°C"),
    "ghi_wm2": ("shortwave_radiation", "W/m²"),
    "dni_wm2": ("direct_normal_irradiance", "W/m²"),
    "dhi_wm2": ("diffuse_radiation", "W/m²"),
    "wind_speed_ms": ("wind_speed_10m", "m/s"),
}
_MEANS_OF_THE_INTERVAL_BEFORE = ("ghi_wm2", "dni_wm2", "dhi_wm2")
_SECTIONS = {60: "hourly", 15: "minutely_15"}
_UNITS = {"temperature_unit": "celsius", "wind_speed_unit": "ms", "timeformat": "unixtime", "timezone": "GMT"}

FARTHEST_DEGREES = 0.5
"""The answer is for a grid cell near the place; the coarsest are a quarter of a degree wide."""


class OpenMeteo:
    """The port `WeatherSource`; its answers name no time of issue, so that of the answer stands for it."""

    name = NAME

    def __init__(
        self, forecasts: WebSource, archive: WebSource, clock: Clock, *, addresses: tuple[str, str], key: str | None
    ) -> None:
        self._forecasts, self._archive = forecasts, archive
        self._clock = clock
        self._forecast_address, self._archive_address = (one.rstrip("/") for one in addresses)
        self._secrets = {} if key is None else {"apikey": key}

    async def forecast(self, place: Place, step_minutes: int, *, past_days: int) -> WeatherAnswer:
        span = {"forecast_days": str(FORECAST_DAYS), "past_days": str(past_days)}
        address = f"{self._forecast_address}/v1/forecast"
        return await self._ask(self._forecasts, address, place, step_minutes, span)

    async def archive(self, place: Place, first: date, last: date) -> WeatherAnswer:
        span = {"start_date": first.isoformat(), "end_date": last.isoformat()}
        return await self._ask(self._archive, f"{self._archive_address}/v1/archive", place, 60, span)

    async def _ask(
        self, web: WebSource, address: str, place: Place, step_minutes: int, span: Mapping[str, str]
    ) -> WeatherAnswer:
        section = _SECTIONS[step_minutes]
        query = {
            "latitude": f"{place.latitude:.2f}",
            "longitude": f"{place.longitude:.2f}",
            section: ",".join(there for there, _ in _VARIABLES.values()),
            **_UNITS,
            **span,
        }

        def read(reply: Reply) -> WeatherAnswer:
            return WeatherAnswer(self._clock.now(), reply.asked_at, read_reply(reply, place, step_minutes))

        return await web.get(address, query, read, secrets=self._secrets)


def read_reply(reply: Reply, place: Place, step_minutes: int) -> tuple[SeriesValues, ...]:
    """The series that were asked for, in our units.

    Raises:
        InvalidInput: no such document, another place, unit or step, or what is no number.
    """
    document, section = _document(reply), _SECTIONS[step_minutes]
    _check_place(document, place)
    columns, units = document.get(section), document.get(f"{section}_units")
    if not isinstance(columns, dict) or not isinstance(units, dict):
        raise InvalidInput(f"{NAME} answers without {section} and its units")
    grid = _grid(columns.get("time"), units.get("time"), step_minutes)
    return tuple(_series(name, columns, units, grid) for name in _VARIABLES)


def _grid(times: Any, unit: Any, step_minutes: int) -> TimeGrid:
    if unit != "unixtime" or not isinstance(times, list) or not times or not all(_is_whole(one) for one in times):
        raise InvalidInput(f"{NAME} answers without times in unixtime")
    if any(after - before != 60 * step_minutes for before, after in pairwise(times)):
        raise InvalidInput(f"{NAME} answers with times that are not {step_minutes} minutes apart")
    try:
        return TimeGrid(datetime.fromtimestamp(times[0], UTC), len(times), step_minutes)
    except (OverflowError, ValueError, OSError) as error:
        raise InvalidInput(f"{NAME} answers with a time that is none") from error


def _series(name: str, columns: Mapping[str, Any], units: Mapping[str, Any], grid: TimeGrid) -> SeriesValues:
    there, unit = _VARIABLES[name]
    if units.get(there) != unit:
        raise InvalidInput(f"{NAME} answers {there} in {units.get(there)!r}, asked for {unit!r}")
    values = columns.get(there)
    if not isinstance(values, list) or len(values) != grid.steps or not all(_is_number(one) for one in values):
        raise InvalidInput(f"{NAME} answers {there} without a number or null for each of its {grid.steps} times")
    if name in _MEANS_OF_THE_INTERVAL_BEFORE:
        grid = TimeGrid(grid.start - grid.step, grid.steps, grid.step_minutes)
    return SeriesValues(SeriesKey(name), grid, np.array(values, dtype=np.float64))  # None becomes NaN


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    """Whether it is null or a finite number that a float holds."""
    if value is None:
        return True
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < sys.float_info.max


def _document(reply: Reply) -> dict[str, Any]:
    if reply.media_type != "application/json":
        raise InvalidInput(f"{NAME} answers with {reply.media_type or 'no media type'}, not JSON")
    try:
        document = json.loads(reply.body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{NAME} answers with what is no whole JSON document") from error
    if not isinstance(document, dict):
        raise InvalidInput(f"{NAME} answers with JSON that is no object")
    if reply.status != 200 or document.get("error"):
        raise InvalidInput(f"{NAME} refuses the question: {str(document.get('reason', 'no reason given'))[:200]}")
    return document


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


def _check_place(document: Mapping[str, Any], place: Place) -> None:
    latitude, longitude = document.get("latitude"), document.get("longitude")
    if document.get("utc_offset_seconds") != 0:
        raise InvalidInput(f"{NAME} answers in another time zone than GMT")
    if latitude is None or longitude is None or not _is_number(latitude) or not _is_number(longitude):
        raise InvalidInput(f"{NAME} answers without saying for which place")
    east = (longitude - place.longitude + 180) % 360 - 180
    away = math.hypot(latitude - place.latitude, east * math.cos(math.radians(place.latitude)))
    if away > FARTHEST_DEGREES:
        raise InvalidInput(
            f"{NAME} answers for {latitude:g} N, {longitude:g} E, asked for {place.latitude:g} N, {place.longitude:g} E"
        )


def open_meteo(client: httpx.AsyncClient, clock: Clock, *, addresses: tuple[str, str], key: str | None) -> OpenMeteo:
    """The source at these addresses of its forecasts and its archive."""
    forecasts, archive = WebSource(client, NAME, clock), WebSource(client, f"{NAME} archive", clock)
    return OpenMeteo(forecasts, archive, clock, addresses=addresses, key=key)
