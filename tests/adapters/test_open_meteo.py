"""Weather as Open-Meteo documents it, and what only looks like it."""

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import date, timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import MONDAY
from tests.feed_sources import Answer, SourceServer, as_json, radiation_wm2, temperature_c, weather

from digital_twin.adapters.open_meteo import OpenMeteo, open_meteo, read_reply
from digital_twin.adapters.web_source import Reply
from digital_twin.domain.errors import InvalidInput, TwinError
from digital_twin.domain.feeds import FED_SERIES, FeedKind, Place
from digital_twin.domain.readings import SeriesValues
from digital_twin.services.ports import WeatherAnswer
from digital_twin.testing import FakeClock

NOON = MONDAY + timedelta(hours=12)
VIENNA = Place(48.21, 16.37)


@pytest.fixture
def server() -> Iterator[SourceServer]:
    """A server that answers well until it is told otherwise."""
    with SourceServer(NOON).serving() as made:
        yield made


@asynccontextmanager
async def source(server: SourceServer, *, key: str | None = None) -> AsyncGenerator[OpenMeteo, None]:
    async with httpx.AsyncClient(trust_env=False) as client:
        addresses = (server.address, server.address + "/")
        yield open_meteo(client, FakeClock(NOON), addresses=addresses, key=key)


async def forecast(server: SourceServer, *, step_minutes: int = 60, place: Place = VIENNA) -> WeatherAnswer:
    async with source(server) as weather:
        return await weather.forecast(place, step_minutes, past_days=1)


def by_name(answer: WeatherAnswer) -> dict[str, SeriesValues]:
    return {one.key.name: one for one in answer.series}


def changed(server: SourceServer, **changes: Any) -> None:
    """Answer with these parts of the document changed; dots go into it."""

    def fault(_path: str, _query: dict[str, str], answer: Answer) -> Answer:
        document = json.loads(answer.body)
        for path, value in changes.items():
            *outer, last = path.split("__")
            part = document
            for name in outer:
                part = part[name]
            part[last] = value(part[last]) if callable(value) else value
        return as_json(document)

    server.fault = fault


async def test_every_variable_of_the_feed_comes_in_our_units(server: SourceServer):
    told = by_name(await forecast(server))
    assert tuple(told) == FED_SERIES[FeedKind.WEATHER]
    asked = server.asked[0][1]
    assert asked["hourly"].split(",") == [
        "temperature_2m",
        "shortwave_radiation",
        "direct_normal_irradiance",
        "diffuse_radiation",
        "wind_speed_10m",
    ]
    assert (asked["wind_speed_unit"], asked["temperature_unit"]) == ("ms", "celsius")
    assert (asked["timezone"], asked["timeformat"]) == ("GMT", "unixtime")
    assert (asked["latitude"], asked["longitude"]) == ("48.21", "16.37")


async def test_temperature_is_that_of_the_instant_and_radiation_the_mean_of_the_interval_before(server: SourceServer):
    """DEFINITIONS 14."""
    told = by_name(await forecast(server))
    temperature, ghi = told["temperature_c"], told["ghi_wm2"]
    yesterday = MONDAY - timedelta(days=1)
    assert (temperature.grid.start, temperature.grid.steps, temperature.grid.step_minutes) == (yesterday, 8 * 24, 60)
    assert (ghi.grid.start, ghi.grid.steps) == (yesterday - timedelta(hours=1), 8 * 24)
    for step in range(temperature.grid.steps):
        assert temperature.values[step] == temperature_c(temperature.grid.instant(step))
        assert ghi.values[step] == radiation_wm2(ghi.grid.instant(step + 1))
    # the sun of the formula rises at six: the first light falls into the interval that starts then
    lit = ghi.grid.starts[np.flatnonzero(ghi.values > 0)[0]]
    assert str(lit) == "2026-03-01T06:00:00"


async def test_quarters_are_shifted_by_a_quarter(server: SourceServer):
    told = by_name(await forecast(server, step_minutes=15))
    assert told["temperature_c"].grid.start - told["dhi_wm2"].grid.start == timedelta(minutes=15)
    assert told["temperature_c"].grid.steps == 8 * 96
    assert "minutely_15" in server.asked[0][1]
    assert "hourly" not in server.asked[0][1]


async def test_the_archive_tells_whole_days(server: SourceServer):
    async with source(server) as weather:
        told = by_name(await weather.archive(VIENNA, date(2024, 2, 28), date(2024, 3, 1)))
    assert told["temperature_c"].grid.steps == 3 * 24  # the 29th is one of them
    assert server.asked[0][0] == "/v1/archive"


async def test_an_answer_is_issued_when_it_is_given(server: SourceServer):
    assert (await forecast(server)).issued_at == NOON


async def test_a_customers_key_is_sent(server: SourceServer):
    async with source(server, key="k3y") as weather:
        await weather.forecast(VIENNA, 60, past_days=0)
    assert server.asked[0][1]["apikey"] == "k3y"


async def test_null_is_no_value(server: SourceServer):
    changed(server, hourly__temperature_2m=lambda values: [None, *values[1:]])
    values = by_name(await forecast(server))["temperature_c"].values
    assert np.isnan(values[0])
    assert np.isfinite(values[1:]).all()


async def test_a_place_across_the_date_line_is_near(server: SourceServer):
    changed(server, longitude=-179.9)
    await forecast(server, place=Place(48.21, 179.95))


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "fahrenheit": ({"hourly_units__temperature_2m": "°F"}, "temperature_2m in '°F', asked for '°C'"),
    "kilometres": ({"hourly_units__wind_speed_10m": "km/h"}, "wind_speed_10m in 'km/h', asked for 'm/s'"),
    "no unit": ({"hourly_units__diffuse_radiation": None}, "diffuse_radiation in None"),
    "kilojoules": ({"hourly_units__shortwave_radiation": "kJ/m²"}, "asked for 'W/m²'"),
    "local times": ({"hourly_units__time": "iso8601"}, "without times in unixtime"),
    "another zone": ({"utc_offset_seconds": 3600}, "another time zone than GMT"),
    "another place": ({"latitude": 16.37, "longitude": 48.21}, "answers for 16.37 N, 48.21 E"),
    "no place": ({"latitude": None}, "without saying for which place"),
    "no section": ({"hourly": None}, "without hourly"),
    "too few values": ({"hourly__temperature_2m": lambda values: values[1:]}, "for each of its 192 times"),
    "text": ({"hourly__temperature_2m": lambda values: ["12.5", *values[1:]]}, "a number or null"),
    "truth": ({"hourly__temperature_2m": lambda values: [True, *values[1:]]}, "a number or null"),
    "a gap": ({"hourly__time": lambda times: [times[0] - 3600, *times[1:]]}, "not 60 minutes apart"),
    "disorder": ({"hourly__time": lambda times: times[::-1]}, "not 60 minutes apart"),
    "beside the hour": ({"hourly__time": lambda times: [one + 60 for one in times]}, "multiple of 60 minutes"),
    "another age": ({"hourly__time": lambda times: [one + 10**11 for one in times]}, "must lie in 1970"),
    "no times": ({"hourly__time": []}, "without times"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_is_not_what_was_asked_is_refused(server: SourceServer, fault: str):
    changes, sentence = FAULTS[fault]
    changed(server, **changes)
    with pytest.raises(InvalidInput, match=sentence):
        await forecast(server)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (Answer(b"<html>Bad gateway</html>", "text/html"), "text/html, not JSON"),
        (Answer(b"<html>Bad gateway</html>"), "no whole JSON document"),
        (Answer(b'{"hourly": {"temperature_2m": [NaN]}}'), "no whole JSON document"),
        (Answer(b"[" * 200_000), "no whole JSON document"),
        (Answer(b"[]"), "no object"),
        (Answer(b"\xff\xfe"), "no whole JSON document"),
        (as_json({"error": True, "reason": "Parameter 'hourly' is unknown"}, status=400), "Parameter 'hourly'"),
        (as_json({"error": True, "reason": "Daily API request limit exceeded"}), "Daily API request limit"),
    ],
)
async def test_what_is_no_answer_is_refused(server: SourceServer, answer: Answer, sentence: str):
    server.fail(answer)
    with pytest.raises(InvalidInput, match=sentence):
        await forecast(server)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.just(-(10**400))
    | st.floats()
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)
QUERY = {"latitude": "48.21", "longitude": "16.37", "hourly": "temperature_2m", "past_days": "0", "forecast_days": "1"}


@given(st.data(), VALUES)
def test_one_wrong_value_anywhere_gives_an_answer_or_a_sentence(data: st.DataObject, wrong: Any):
    names = "temperature_2m,shortwave_radiation,direct_normal_irradiance,diffuse_radiation,wind_speed_10m"
    document = weather("/v1/forecast", QUERY | {"hourly": names}, NOON)
    part: Any = document
    while isinstance(part, dict | list) and part:
        keys = sorted(part) if isinstance(part, dict) else range(len(part))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(part[key], dict | list) or data.draw(st.booleans()):
            part[key] = wrong
            break
        part = part[key]
    reply = Reply(200, "application/json", json.dumps(document).encode(), NOON)
    told = None
    with suppress(TwinError):
        told = read_reply(reply, VIENNA, 60)
    assert told is None or [one.grid.steps for one in told] == [24] * 5
