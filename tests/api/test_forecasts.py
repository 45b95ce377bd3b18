"""Forecasts over HTTP: order of quantiles, two ends that agree, nothing seen early, and histories of every shape."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from tests.api.application import Api, answered, refused

START = datetime(2026, 3, 16, tzinfo=UTC)
DAY = {"start_time": START.isoformat(), "horizon_hours": 24}
NAMES = ("load_kw", "pv_kw", "net_load_kw")


def generate(client: httpx.Client, community_id: str, **body: Any) -> Any:
    return answered(client.post(f"/communities/{community_id}/forecasting/generate", json={**DAY, **body}))


def record(
    client: httpx.Client,
    community_id: str,
    values: Sequence[float | None],
    *,
    name: str = "load_kw",
    minutes: int = 15,
    end: datetime = START,
    delay_minutes: int | None = 0,
) -> None:
    """Readings until `end`, known when their interval ended or, without a delay, now."""
    start = end - len(values) * timedelta(minutes=minutes)
    kind = "instant" if name == "temperature_c" else "mean"
    unit = "C" if kind == "instant" else "kW"
    column = {"name": name, "unit": unit, "kind": kind, "start": start.isoformat(), "resolution_minutes": minutes}
    body = {"series": [{**column, "values": list(values)}]}
    if delay_minutes is not None:
        body["assumed_delay_minutes"] = delay_minutes
    answered(client.post(f"/communities/{community_id}/readings", json=body))


def days_of_load(days: int, *, minutes: int = 15, scale: float = 1.0) -> list[float]:
    """A daily wave with some noise."""
    steps = days * 1440 // minutes
    hours = np.arange(steps) * minutes / 60
    noise = np.random.default_rng(1).normal(0, 2, steps)
    return np.maximum(scale * (60 + 25 * np.sin(2 * np.pi * (hours - 8) / 24) + noise), 0).tolist()


def check_forecast(forecast: Any, *, steps: int, names: Sequence[str] = NAMES) -> None:
    """Finite, of the right length, quantiles in order, bounds among them."""
    assert sorted(forecast["variables"]) == sorted(names)
    for name, variable in forecast["variables"].items():
        levels = sorted(variable["quantiles"], key=float)
        quantiles = np.array([variable["quantiles"][level] for level in levels], dtype=float)
        assert quantiles.shape == (len(levels), steps)
        for values in (quantiles, np.array(variable["mean"], dtype=float)):
            assert np.isfinite(values).all(), name
        assert (np.diff(quantiles, axis=0) >= -1e-9).all(), name
        assert (np.array(variable["lower"]) <= np.array(variable["upper"]) + 1e-9).all(), name
        if not name.startswith("net_"):
            assert quantiles.min() >= 0, name


# The answer


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_quantiles_are_ordered_and_bounds_are_those_of_the_level(operator: httpx.Client, community: str, level: float):
    forecast = generate(operator, community, confidence_level=level)
    check_forecast(forecast, steps=96)
    tail = round((1 - level) / 2, 6)
    for variable in forecast["variables"].values():
        assert variable["lower"] == pytest.approx(variable["quantiles"][f"{tail:g}"])
        assert variable["upper"] == pytest.approx(variable["quantiles"][f"{1 - tail:g}"])


def test_net_load_is_load_less_generation(operator: httpx.Client, community: str):
    load, pv, net = (np.array(generate(operator, community)["variables"][name]["mean"]) for name in NAMES)
    np.testing.assert_allclose(net, load - pv, atol=1e-9)
    [(name, alone)] = generate(operator, community, variables=["net_load_kw"])["variables"].items()
    assert name == "net_load_kw"
    np.testing.assert_allclose(alone["mean"], net, atol=1e-9)


def test_without_uncertainty_there_is_the_mean_and_nothing_else(operator: httpx.Client, community: str):
    for variable in generate(operator, community, include_uncertainty=False)["variables"].values():
        assert list(variable) == ["mean"]


def test_a_wider_level_gives_wider_bounds(operator: httpx.Client, community: str):
    record(operator, community, days_of_load(30))
    narrow, wide = (
        generate(operator, community, confidence_level=level)["variables"]["load_kw"] for level in (0.5, 0.95)
    )
    assert (np.array(wide["lower"]) <= np.array(narrow["lower"]) + 1e-9).all()
    assert (np.array(wide["upper"]) >= np.array(narrow["upper"]) - 1e-9).all()
    assert np.mean(np.array(wide["upper"]) - wide["lower"]) > np.mean(np.array(narrow["upper"]) - narrow["lower"])


# The question


def test_an_end_and_a_horizon_say_the_same(operator: httpx.Client, community: str):
    end = (START + timedelta(hours=6)).isoformat()
    by_end = {"start_time": DAY["start_time"], "end_time": end}
    path = f"/communities/{community}/forecasting/generate"
    one, other, both = (
        answered(operator.post(path, json={**body, "variables": ["load_kw"]}))["variables"]
        for body in (by_end, {**DAY, "horizon_hours": 6}, {**by_end, "horizon_hours": 6})
    )
    assert one == other == both
    assert len(one["load_kw"]["mean"]) == 24


@pytest.mark.parametrize(
    "body",
    [
        {"start_time": "2026-03-16T00:00:00Z", "end_time": "2026-03-17T00:00:00Z", "horizon_hours": 23},
        {"start_time": "2026-03-16T00:00:00Z"},
        {"start_time": "2026-03-16T00:00:00Z", "end_time": "2026-03-16T00:00:00Z"},
        {"start_time": "2026-03-16T00:00:00Z", "end_time": "2026-03-15T00:00:00Z"},
        {"start_time": "2026-03-16T00:00:00Z", "end_time": "2026-03-16T01:07:00Z"},
        {"start_time": "2026-03-16T00:00:00Z", "end_time": "2027-03-16T00:00:00Z"},
        {"start_time": "2026-03-16T00:07:00Z", "horizon_hours": 1},
        {"start_time": "2026-03-16T00:00:00Z", "horizon_hours": 1.1},
        {"start_time": "2026-03-16T00:00:00Z", "horizon_hours": 841},
        {"start_time": "2026-03-16T00:00:00Z", "horizon_hours": -1},
        {"start_time": "2026-03-16T00:00:00Z", "horizon_hours": True},
        {"start_time": "2026-03-16T00:00:00", "horizon_hours": 1},
        {"start_time": "tomorrow", "horizon_hours": 1},
        {"start_time": "1969-12-31T23:00:00Z", "horizon_hours": 1},
        {"start_time": "2099-12-31T23:00:00Z", "horizon_hours": 2},
        {"horizon_hours": 1},
        {**DAY, "confidence_level": 0.999},
        {**DAY, "confidence_level": 0},
        {**DAY, "include_uncertainty": 1},
        {**DAY, "variables": []},
        {**DAY, "variables": ["load"]},
        {**DAY, "resolution_minutes": 45},
        {**DAY, "model": "oracle"},
        {**DAY, "model": "pvwatts"},
        {**DAY, "model": "../../etc/passwd"},
        {**DAY, "as_of": "2099-01-01T00:00:00Z"},
        {**DAY, "horizon": 24},
    ],
)
def test_a_question_that_makes_no_sense_is_refused(operator: httpx.Client, community: str, body: Any):
    refused(operator.post(f"/communities/{community}/forecasting/generate", json=body), 422)


def test_a_model_that_lacks_readings_says_how_many_it_needs(operator: httpx.Client, community: str):
    body = {**DAY, "model": "ridge", "variables": ["load_kw"]}
    problem = refused(operator.post(f"/communities/{community}/forecasting/generate", json=body), 409)
    assert problem["type"] == "/problems/insufficient-data"
    assert problem["needed"] > problem["found"]


@pytest.mark.parametrize("model", ["standard_load", "seasonal_naive", "ridge", "ridge_conformal"])
def test_a_model_is_used_by_its_name(operator: httpx.Client, community: str, model: str):
    record(operator, community, days_of_load(30))
    forecast = generate(operator, community, model=model, variables=["load_kw"])
    check_forecast(forecast, steps=96, names=["load_kw"])
    assert forecast["models"] == {"load_kw": model}


@pytest.mark.parametrize("start", ["1970-01-01T00:00:00Z", "1970-06-01T00:00:00Z", "2099-12-31T00:00:00Z"])
def test_the_ends_of_time_are_forecast_or_refused(operator: httpx.Client, community: str, start: str):
    body = {"start_time": start, "horizon_hours": 24}
    response = operator.post(f"/communities/{community}/forecasting/generate", json=body)
    assert response.status_code in (200, 422), response.text


# What was known when


def test_a_forecast_of_the_past_uses_what_was_known_at_its_start(api: Api, operator: httpx.Client):
    honest, tempted = api.community(operator), api.community(operator)
    history = days_of_load(30)
    for community_id in (honest, tempted):
        record(operator, community_id, history)
    # the truth of the forecast day, and a correction of history that arrives only now
    record(operator, tempted, [999.0] * 96, end=START + timedelta(days=1))
    record(operator, tempted, [500.0] * 960, delay_minutes=None)
    one, other = (generate(operator, community_id) for community_id in (honest, tempted))
    assert one["as_of"] == other["as_of"] == "2026-03-16T00:00:00Z"
    assert one["variables"] == other["variables"]
    assert other["provenance"]["data_end"] == "2026-03-16T00:00:00Z"
    now = generate(operator, tempted, as_of=(START + timedelta(days=2)).isoformat())
    assert now["variables"]["load_kw"]["mean"] == pytest.approx(one["variables"]["load_kw"]["mean"])
    assert generate(operator, tempted, as_of=datetime.now(UTC).isoformat())["variables"] != one["variables"]


def test_readings_that_arrive_late_are_not_known_before(operator: httpx.Client, community: str):
    record(operator, community, days_of_load(30), delay_minutes=3 * 24 * 60)
    forecast = generate(operator, community, variables=["load_kw"])
    assert forecast["provenance"]["data_end"] == "2026-03-13T00:00:00Z"


def test_a_month_ahead_is_told_by_last_year_and_its_temperatures(operator: httpx.Client, community: str):
    hour = np.arange(390 * 24)
    temperature_c = (
        10 - 12 * np.cos(2 * np.pi * (hour / 24 + 50) / 365.25) + 4 * np.sin(2 * np.pi * (hour % 24 - 9) / 24)
    )
    load = np.array(days_of_load(390, minutes=60)) + 3 * np.maximum(15 - temperature_c, 0)
    record(operator, community, load.tolist(), minutes=60)
    month = {"horizon_hours": 30 * 24, "resolution_minutes": 60, "variables": ["load_kw"]}
    bare = generate(operator, community, **month)
    record(operator, community, temperature_c.tolist(), name="temperature_c", minutes=60)
    told = generate(operator, community, **month)
    assert bare["models"] == told["models"] == {"load_kw": "scenarios"}
    for forecast in (bare, told):
        check_forecast(forecast, steps=720, names=("load_kw",))
    assert bare["variables"]["load_kw"]["mean"] != told["variables"]["load_kw"]["mean"]
    assert generate(operator, community, variables=["load_kw"])["models"] != {"load_kw": "scenarios"}


def test_weather_that_becomes_known_later_is_not_used(api: Api, operator: httpx.Client):
    calm, warned = api.community(operator), api.community(operator)
    for community_id in (calm, warned):
        record(operator, community_id, days_of_load(30))
        record(operator, community_id, [5.0] * 24 * 30, name="temperature_c", minutes=60)
    record(operator, warned, [-20.0] * 24, name="temperature_c", minutes=60, end=START + timedelta(days=1))
    one, other = (generate(operator, community_id)["variables"] for community_id in (calm, warned))
    assert one == other


# Histories of every shape


@pytest.mark.parametrize("minutes", [1, 5, 12, 15, 30, 60])
@pytest.mark.parametrize("asked", [15, 60])
def test_readings_of_any_interval_give_a_forecast_of_any_other(
    operator: httpx.Client, community: str, minutes: int, asked: int
):
    record(operator, community, days_of_load(8, minutes=minutes), minutes=minutes)
    forecast = generate(operator, community, resolution_minutes=asked)
    check_forecast(forecast, steps=1440 // asked)
    assert forecast["models"]["load_kw"] == "seasonal_naive"
    mean = np.array(forecast["variables"]["load_kw"]["mean"])
    assert mean.mean() == pytest.approx(60, abs=6)


@pytest.mark.parametrize(("load_minutes", "pv_minutes"), [(60, 15), (15, 60), (30, 60)])
def test_load_and_generation_may_be_metered_at_different_intervals(
    operator: httpx.Client, community: str, load_minutes: int, pv_minutes: int
):
    record(operator, community, days_of_load(30, minutes=load_minutes), minutes=load_minutes)
    record(operator, community, days_of_load(30, minutes=pv_minutes), name="pv_kw", minutes=pv_minutes)
    forecast = generate(operator, community)
    check_forecast(forecast, steps=96)
    load, pv, net = (np.array(forecast["variables"][name]["mean"]) for name in NAMES)
    np.testing.assert_allclose(net, load - pv, atol=1e-9)
    plan = operator.post(f"/communities/{community}/optimization/dispatch", json=DAY)
    assert answered(plan)["status"] == "optimal"


def test_an_interval_that_fits_no_grid_says_which_would(operator: httpx.Client, community: str):
    record(operator, community, days_of_load(8, minutes=20), minutes=20)
    body = {**DAY, "resolution_minutes": 15}
    refused(
        operator.post(f"/communities/{community}/forecasting/generate", json=body), 422, pointer="/resolution_minutes"
    )
    check_forecast(generate(operator, community, resolution_minutes=60), steps=24)


_RNG = np.random.default_rng(3)
HISTORIES: dict[str, list[float | None]] = {
    "one reading": [50.0],
    "one day": [*days_of_load(1)],
    "three days": [*days_of_load(3)],
    "constant": [50.0] * 96 * 30,
    "all zero": [0.0] * 96 * 60,
    "no readings at all": [None] * 96 * 30,
    "every second one": [value if index % 2 else None for index, value in enumerate(days_of_load(60))],
    "nights only": [value if index % 96 < 24 else None for index, value in enumerate(days_of_load(60))],
    "one day a week": [value if index // 96 % 7 == 0 else None for index, value in enumerate(days_of_load(70))],
    "two weeks, a gap of a month, a day": [*days_of_load(14), *[None] * 96 * 30, *days_of_load(1)],
    "random gaps": [
        value if keep else None for value, keep in zip(days_of_load(60), _RNG.random(5760) < 0.3, strict=True)
    ],
    "a spike of a megawatt": [*days_of_load(40), 1e6],
    "tiny": [1e-9] * 96 * 30,
    "long ago": [*days_of_load(30), *[None] * 96 * 60],
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("history", HISTORIES)
def test_no_history_is_too_strange(operator: httpx.Client, community: str, name: str, history: str):
    record(operator, community, HISTORIES[history], name=name)
    check_forecast(generate(operator, community), steps=96)


def test_few_readings_of_net_meters_leave_the_priors_in_place(operator: httpx.Client, community: str):
    before = generate(operator, community)
    record(operator, community, days_of_load(1), name="net_load_kw")
    after = generate(operator, community)
    assert after["variables"] == before["variables"]
    assert any("net_load_kw readings" in sentence for sentence in after["provenance"]["assumptions"])
    record(operator, community, days_of_load(30), name="net_load_kw")
    metered = generate(operator, community)
    assert metered["models"]["net_load_kw"] == "ridge_conformal"
    assert not any("net_load_kw readings" in sentence for sentence in metered["provenance"]["assumptions"])
    load, pv, net = (np.array(metered["variables"][name]["mean"]) for name in ("load_kw", "pv_kw", "net_load_kw"))
    assert load - pv == pytest.approx(net, abs=1e-9)


@pytest.mark.parametrize(("midnight", "hours"), [("2026-03-28T23:00:00Z", 23), ("2026-10-24T22:00:00Z", 25)])
def test_a_day_of_23_or_25_hours_is_forecast_whole(api: Api, operator: httpx.Client, midnight: str, hours: int):
    community_id = api.community(operator, timezone="Europe/Vienna")
    start = datetime.fromisoformat(midnight)
    record(operator, community_id, days_of_load(60), end=start)
    forecast = generate(operator, community_id, start_time=midnight, horizon_hours=hours)
    check_forecast(forecast, steps=4 * hours)


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Kiritimati", "America/St_Johns"])
def test_every_zone_has_forecasts_and_plans(api: Api, operator: httpx.Client, zone: str):
    community_id = api.community(operator, timezone=zone, latitude=-31.5, longitude=159.1)
    record(operator, community_id, days_of_load(30))
    check_forecast(generate(operator, community_id, horizon_hours=24 * 35, resolution_minutes=60), steps=24 * 35)
    assert (
        answered(operator.post(f"/communities/{community_id}/optimization/dispatch", json=DAY))["status"] == "optimal"
    )


@pytest.mark.parametrize("latitude", [-90.0, 0.0, 90.0])
def test_the_sun_may_stay_away(api: Api, operator: httpx.Client, latitude: float):
    community_id = api.community(operator, latitude=latitude, longitude=180.0)
    record(operator, community_id, [0.0] * 96 * 30, name="pv_kw")
    check_forecast(generate(operator, community_id), steps=96)
