"""Charts: what they are drawn from is true, and no document is too odd to draw."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.dashboard import documents

from digital_twin.dashboard.charts import forecasts, scenarios, schedules, states, tariffs
from digital_twin.dashboard.charts.marks import STYLES, time_axis
from digital_twin.dashboard.frames import TIME, WHEN, hourly, intervals, milliseconds, with_last_edge

VIENNA = ZoneInfo("Europe/Vienna")
Document = dict[str, Any]

VALUES = st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6), st.just(math.nan)), max_size=5)
COLUMN = st.one_of(st.none(), VALUES)


def drawn(chart: Any) -> Document:
    """The specification, checked against Vega-Lite's own schema."""
    return chart.to_dict()


def test_an_interval_carries_its_start_in_the_communitys_time() -> None:
    frame = intervals(documents.START, 30, {"a": [1.0, None], "b": [2.0]}, VIENNA)
    assert frame[WHEN].tolist() == ["Mon 02 Mar 01:00", "Mon 02 Mar 01:30"]
    assert frame[TIME].diff().tolist()[1] == 30 * 60_000
    assert np.isnan(frame["a"][1])
    assert np.isnan(frame["b"][1])


def test_a_step_chart_draws_the_last_interval_to_its_end() -> None:
    frame = with_last_edge(intervals(documents.START, 30, {"a": [1.0, 2.0]}, UTC), 30)
    assert frame["a"].tolist() == [1.0, 2.0, 2.0]
    assert frame[TIME].iloc[-1] - frame[TIME].iloc[0] == 60 * 60_000


def test_the_table_holds_means_of_hours() -> None:
    frame = intervals(documents.START, 15, {"a": [1.0, 2.0, 3.0, 4.0, 10.0]}, UTC)
    table = hourly(frame, {"a": "A kW", "missing": "Not there"})
    assert table.to_dict("list") == {"From": ["Mon 02 Mar 00:00", "Mon 02 Mar 01:00"], "A kW": [2.5, 10.0]}


@pytest.mark.parametrize(
    ("day", "hours", "labels"),
    [
        ("2026-03-28T23:00:00Z", 23, ["Sun 29 Mar", "06:00", "12:00", "18:00", "Mon 30 Mar"]),
        ("2026-10-24T22:00:00Z", 25, ["Sun 25 Oct", "06:00", "12:00", "18:00", "Mon 26 Oct"]),
    ],
)
def test_the_axis_is_labelled_by_local_clocks_on_days_of_23_and_25_hours(
    day: str, hours: int, labels: list[str]
) -> None:
    frame = intervals(day, 60, {"a": [1.0] * (hours + 1)}, VIENNA)
    axis = time_axis(frame, VIENNA).to_dict()["axis"]
    written = [axis["labelExpr"].partition(f"'{at:.0f}': '")[2].partition("'")[0] for at in axis["values"]]
    assert written == labels
    for at, label in zip(axis["values"], labels, strict=True):
        local = datetime.fromtimestamp(at / 1000, VIENNA)
        assert f"{local:%H:%M}" == ("00:00" if " " in label else label)


def test_a_fan_stands_on_the_forecast_and_the_readings_end_where_it_begins() -> None:
    history = forecasts.history_frame(
        [{"name": "load_kw", "start": "2026-03-01T23:00:00Z", "resolution_minutes": 30, "values": [10.0, 12.0]}],
        "load_kw", VIENNA,
    )  # fmt: skip
    spec = drawn(forecasts.fan_chart(documents.forecast(), "load_kw", history, VIENNA, label="Demand"))
    assert history[TIME].max() < milliseconds(datetime.fromisoformat(documents.START))
    bands = [
        layer for layer in spec["layer"] if isinstance(layer.get("mark"), dict) and layer["mark"]["type"] == "area"
    ]
    assert [(band["encoding"]["y"]["field"], band["encoding"]["y2"]["field"]) for band in bands] == [("q0_05", "q0_95")]


def test_net_demand_of_the_past_is_demand_less_pv_where_it_has_no_readings_of_its_own() -> None:
    columns: list[Document] = [
        {"name": "load_kw", "start": documents.START, "resolution_minutes": 15, "values": [10.0, 12.0, None]},
        {"name": "pv_kw", "start": documents.START, "resolution_minutes": 15, "values": [4.0, 20.0, 1.0]},
    ]
    measured = forecasts.history_frame(columns, "net_load_kw", UTC)[forecasts.MEASURED]
    np.testing.assert_array_equal(measured, [6.0, -8.0, np.nan])


def test_what_is_stacked_above_zero_is_the_demand_and_below_what_is_stored_and_fed_in() -> None:
    frame = schedules.schedule_frame(documents.schedule(), UTC)
    stacked = schedules.stacked_powers(frame)
    np.testing.assert_allclose(stacked.groupby(TIME)["to"].max(), frame["load_kw"])
    np.testing.assert_allclose(stacked.groupby(TIME)["to"].min(), -(frame["charge_kw"] + frame["export_kw"]))
    names = schedules.name_places(stacked)
    assert set(names["series"]) <= set(stacked["series"])


@pytest.mark.parametrize(
    ("flags", "run"), [([0, 0], (0, 0)), ([1, 0, 1, 1], (2, 4)), ([1, 1, 1], (0, 3)), ([], (0, 0))]
)
def test_the_longest_run_is_found(flags: list[int], run: tuple[int, int]) -> None:
    assert schedules.longest_run(np.array(flags, dtype=bool)) == run


def test_the_storages_power_is_how_its_energy_changed() -> None:
    assert states.storage_power_kw(documents.history(), documents.community()) == pytest.approx(-10.0)
    giving = documents.history(storage_soc_kwh={"mean": [50.0, None, 45.0], "sd": [1.0] * 3})
    assert states.storage_power_kw(giving, documents.community()) == pytest.approx(5.0 * 4 * 0.8)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 100), st.floats(0, 100))
def test_powers_of_the_flow_add_up_and_its_picture_is_well_formed(
    demand: float, pv: float, before: float, after: float
) -> None:
    past = documents.history(storage_soc_kwh={"mean": [before, after], "sd": [1.0, 1.0]})
    now = documents.state(states={"demand_kw": {"mean": demand, "sd": 1}, "pv_kw": {"mean": pv, "sd": 1}})
    flow = states.flow_of(now, past, documents.community())
    assert flow is not None
    assert flow.storage_kw is not None
    assert flow.pv_kw + flow.storage_kw + flow.grid_kw == pytest.approx(flow.demand_kw, abs=1e-6)
    assert ElementTree.fromstring(states.flow_picture(flow)).tag.endswith("svg")  # noqa: S314  our own text


def test_the_course_is_what_was_up_to_where_the_prediction_begins_and_then_that() -> None:
    later = documents.prediction(start="2026-03-02T00:30:00Z")
    frame: Any = states.course(documents.history(), later, VIENNA)
    was, expected = (frame[frame["told"] == told] for told in (states.ESTIMATED, states.PREDICTED))
    assert len(was) == 2 + 1, "and the edge of the last"
    assert was["time"].iloc[-1] == expected["time"].iloc[0]
    assert expected["demand_kw_high"].tolist() == [44.0, 45.0, 46.0, 47.0, 47.0]
    table = states.course_table(documents.history(), later, VIENNA)
    assert table["Is"].tolist() == ["estimated", "expected", "expected"]


def test_without_storage_none_is_drawn() -> None:
    flow = states.flow_of(documents.state(), documents.history(), documents.community(total_storage_capacity_kwh=0.0))
    assert flow is not None
    assert flow.storage_kw is None
    assert ">Storage<" not in states.flow_picture(flow)
    assert ">Grid<" in states.flow_picture(flow)


def test_no_two_lines_of_one_picture_are_told_apart_by_colour_alone() -> None:
    for group in (("Demand", "PV", "Net demand"), tuple(schedules.PRICES.values())):
        dashes = [tuple(STYLES[name][1]) for name in group]
        assert len(set(dashes)) == len(group)


CHARTS: list[Callable[[Document, Document, Document], Any]] = [
    lambda forecast, _, __: forecasts.fan_chart(
        forecast, "load_kw", forecasts.history_frame([], "load_kw", VIENNA), VIENNA, label="Demand"
    ),
    lambda _, schedule, __: schedules.supply_chart(schedule, VIENNA),
    lambda _, schedule, __: schedules.storage_chart(schedule, 100.0, VIENNA),
    lambda _, schedule, __: schedules.price_chart(schedule, "EUR", VIENNA),
    lambda _, schedule, __: schedules.cost_chart(schedule, "EUR"),
    lambda _, __, history: states.power_chart(history, documents.prediction(), VIENNA),
    lambda _, __, history: states.stored_chart(history, documents.prediction(), 100.0, VIENNA),
]

FIXED: list[Callable[[], Any]] = [
    lambda: tariffs.price_chart(documents.tariff(), "EUR", VIENNA),
    lambda: tariffs.demand_chart(documents.tariff(), VIENNA),
    lambda: tariffs.demand_chart(
        documents.tariff(demand_after_low_kw=[100.0, 180], demand_after_high_kw=[120.0, 196]), VIENNA
    ),
    lambda: tariffs.welfare_chart(documents.tariff(), "EUR"),
    lambda: tariffs.welfare_chart(documents.tariff(welfare={}), "EUR"),
    lambda: tariffs.budget_chart(documents.tariff(), "EUR", VIENNA),
    lambda: tariffs.budget_chart(documents.tariff(days=[]), "EUR", VIENNA),
    lambda: tariffs.gains_chart(tariffs.distribution_frame(documents.tariff()), "EUR"),
    lambda: scenarios.kpi_chart(documents.comparison(), "cost", "EUR"),
    lambda: scenarios.kpi_chart({"scenario_id": "a_b"}, "cost", "EUR"),
    lambda: scenarios.cash_chart(documents.comparison(), "EUR"),
]


@pytest.mark.parametrize("chart", FIXED)
def test_charts_of_tariffs_and_scenarios_keep_to_the_schema(chart: Callable[[], Any]) -> None:
    assert drawn(chart())["config"]


@pytest.mark.parametrize("chart", CHARTS)
def test_every_chart_keeps_to_the_schema_of_vega_lite(chart: Callable[[Document, Document, Document], Any]) -> None:
    assert drawn(chart(documents.forecast(), documents.schedule(), documents.history()))["config"]


@pytest.mark.parametrize("chart", CHARTS)
@settings(max_examples=8)
@given(values=VALUES, other=COLUMN)
def test_whatever_is_missing_a_chart_is_drawn(
    chart: Callable[[Document, Document, Document], Any], values: list[float | None], other: list[float | None] | None
) -> None:
    forecast = documents.forecast(load_kw={"mean": values, "lower": other, "upper": None, "quantiles": None})
    schedule = documents.schedule(**dict.fromkeys(schedules.FIELDS, values), savings={}, cost=None)
    history = documents.history(demand_kw={"mean": values, "sd": other}, pv_kw={"mean": other, "sd": values})
    spec = chart(forecast, schedule, history).to_dict(validate=False)
    assert spec.get("layer") or spec.get("mark")
    tables = (
        forecasts.forecast_table(forecast, "load_kw", VIENNA),
        schedules.schedule_table(schedule, VIENNA),
        states.course_table(history, documents.prediction(), VIENNA),
    )
    assert all(isinstance(table, pd.DataFrame) for table in tables)
