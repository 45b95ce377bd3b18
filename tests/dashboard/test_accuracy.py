"""How good the last forecasts were: its pictures, tables and sentences."""

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest
from tests.dashboard import documents

from digital_twin.dashboard.charts import accuracy as charts
from digital_twin.dashboard.findings import accuracy as findings
from digital_twin.dashboard.frames import TIME
from digital_twin.domain.time import local_midnight

VIENNA = ZoneInfo("Europe/Vienna")
Document = dict[str, Any]
MAYBE = st.one_of(st.none(), st.floats(-1e6, 1e6), st.just(math.nan))


def said_of(*forecasts: Document, variable: str = "load_kw") -> str:
    return findings.issued_finding(charts.issued_frame(forecasts, VIENNA), variable)


def test_each_day_is_drawn_to_its_own_end_and_no_line_runs_over_a_day_without_forecast() -> None:
    days = [documents.issued("2026-03-02"), documents.issued("2026-03-04")]
    frame = charts.issued_frame(days, VIENNA, edges=True)
    assert frame.groupby(charts.DAY)[TIME].agg(lambda times: (times.max() - times.min()) / 3_600_000).tolist() == [4, 4]
    layers = charts.issued_chart(days, VIENNA, label="Demand").to_dict()["layer"]
    assert {layer["encoding"]["detail"]["field"] for layer in layers} == {charts.DAY}
    bands = [(one["encoding"]["y"]["field"], one["encoding"]["y2"]["field"]) for one in layers[:2]]
    assert bands == [("q0_05", "q0_95"), ("q0_25", "q0_75")]
    assert layers[2]["encoding"]["y"]["field"] == charts.HAPPENED
    assert layers[2]["mark"]["color"] == "#000000"


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25)])
def test_a_day_of_23_or_25_hours_ends_where_the_next_begins(day: str, hours: int) -> None:
    start = local_midnight(date.fromisoformat(day), "Europe/Vienna")
    quantiles = {level: [1.0] * hours for level in ("0.05", "0.25", "0.75", "0.95")}
    whole = documents.issued(
        day, start=start.isoformat(), mean=[1.0] * hours, actual=[1.0] * hours, quantiles=quantiles
    )  # fmt: skip
    frame = charts.issued_frame([whole], VIENNA, edges=True)
    end = datetime.fromtimestamp(frame[TIME].iloc[-1] / 1000, UTC)
    assert end == local_midnight(date.fromordinal(date.fromisoformat(day).toordinal() + 1), "Europe/Vienna")
    assert charts.issued_table([whole], VIENNA).shape == (hours, 5)


def test_the_table_of_issued_forecasts_stands_beside_what_happened() -> None:
    table = charts.issued_table([documents.issued()], VIENNA)
    assert table["From"].tolist()[0] == "Mon 02 Mar 00:00"
    assert table["Expected kW"].tolist() == [20.0] * 4
    np.testing.assert_array_equal(table["Happened kW"], [20.0, 12.0, 42.0, np.nan])


def test_what_left_the_band_is_told_with_how_often_and_where_it_was_farthest() -> None:
    assert said_of(documents.issued()) == (
        "What happened (black) was outside the band that was 90 % sure (light; dark: 50 %) 33 % of the time, "
        "farthest on Mon 02 Mar 02:00: 42 kW, where 10 to 30 kW were expected."
    )
    below = said_of(documents.issued(actual=[20.0, -40.0, 42.0, None]))
    assert below.endswith("farthest on Mon 02 Mar 01:00: -40 kW, where 10 to 30 kW were expected.")
    assert "never left" in said_of(documents.issued(actual=[20.0, 12.0, 30.0, 10.0]))


def test_a_day_that_nothing_is_known_of_and_days_without_forecast_are_told_as_such() -> None:
    unknown = said_of(documents.issued(actual=[None] * 4), variable="pv_kw")
    assert unknown == "What PV came to is not known yet; the bands are what was expected (50 and 90 % sure)."
    assert said_of() == "No forecast of demand was issued in these days."
    assert charts.issued_table([], VIENNA).empty


def test_skill_is_told_against_the_seasonal_naive_over_the_days_that_count() -> None:
    fortnight = documents.accuracy(*[0.4] * 12, -0.1, 0.0, None, skill=0.31)
    assert findings.skill_finding(fortnight, "load_kw", 14) == (
        "Over the last 14 days forecasts of demand lost 31 % less than the seasonal naive, which expects the week "
        "before again; they were better on 12 of 14 days."
    )
    few = findings.skill_finding(documents.accuracy(-0.2, None, -0.1, skill=-0.15), "pv_kw", 14)
    assert few.startswith("Over the 2 days that can be judged forecasts of PV lost 15 % more than the seasonal naive")
    one = findings.skill_finding(documents.accuracy(0.0), "load_kw", 14)
    assert one == (
        "Over the one day that can be judged forecasts of demand were no better and no worse than the seasonal naive, "
        "which expects the week before again."
    )
    assert "a day counts once it is over" in findings.skill_finding(documents.accuracy(None), "load_kw", 14)
    assert "needs a week of readings" in findings.skill_finding(documents.accuracy(None, days=1), "load_kw", 14)


def test_a_day_that_cannot_be_judged_keeps_its_place_without_a_bar() -> None:
    spec = charts.skill_chart(documents.accuracy(0.3, None, -0.2)["by_day"]).to_dict()
    bars = spec["layer"][0]
    assert bars["encoding"]["x"]["scale"]["domain"] == ["Mon 02 Mar", "Tue 03 Mar", "Wed 04 Mar"]
    assert [row["skill"] for row in spec["datasets"][bars["data"]["name"]]] == [0.3, -0.2]
    table = charts.skill_table(documents.accuracy(0.3, None)["by_day"])
    assert table["Skill"].tolist() == ["30 %", ""]
    assert table["Inside 90 %"].tolist() == ["90 %", ""]


def test_one_very_bad_day_does_not_flatten_the_others() -> None:
    spec = charts.skill_chart(documents.accuracy(0.3, -40.0)["by_day"]).to_dict()
    assert spec["layer"][0]["encoding"]["y"]["scale"]["domain"] == [-1.0, 0.3]
    assert spec["layer"][0]["mark"]["clip"] is True


@pytest.mark.parametrize(
    ("held", "days", "verdict"),
    [
        (0.88, 14, "they are as sure as they say."),
        (0.85, 14, "they are as sure as they say."),
        (0.70, 14, "they are surer than they should be."),
        (0.99, 14, "they could be surer than they are."),
        (0.70, 1, "they are surer than they should be, though one day may be chance."),
    ],
)
def test_what_intervals_held_is_told_beside_what_they_promise(held: float, days: int, verdict: str) -> None:
    told = findings.calibration_finding(documents.accuracy(0.3, coverage_90=held, days=days))
    assert told.startswith("The 50 % interval held 50 % of what happened, the 80 % interval 80 % and the 90 % interval")
    assert told.endswith(f": {verdict}")


def test_intervals_of_which_nothing_is_known_are_left_out_of_the_picture_and_the_table() -> None:
    dark = documents.accuracy(0.3, coverage_50=None, coverage_80=None, coverage_90=None)
    assert findings.calibration_finding(dark) == "How well intervals hold cannot be told yet."
    assert charts.calibration_table(dark).empty
    partly = charts.calibration_table(documents.accuracy(0.3, coverage_50=None, coverage_80=0.75))
    assert partly.to_dict("list") == {
        "Interval": ["80 % interval", "90 % interval"], "Promised": ["80 %", "90 %"], "Held": ["75 %", "90 %"],
    }  # fmt: skip


def test_forecasts_that_became_worse_are_warned_of_and_others_not() -> None:
    assert findings.drift_sentence(documents.drift(), "load_kw", VIENNA) == (
        "Forecasts of demand have become worse since Mon 02 Mar 01:00: "
        "they lose 92 % of what the seasonal naive loses; before it was 61 %."
    )
    assert findings.drift_sentence(documents.drift(is_degraded=False), "load_kw", VIENNA) is None
    unsure = documents.drift(relative_loss_before=None, degraded_since=None)
    assert findings.drift_sentence(unsure, "pv_kw", VIENNA) == "Forecasts of PV have become worse."


def test_a_new_community_is_told_when_its_first_forecast_comes() -> None:
    told = findings.first_issue_sentence(datetime(2026, 3, 1, 23, tzinfo=UTC), VIENNA)
    assert told.endswith("The first comes on Monday 00:00, if readings have come by then.")


class FakeTwin:
    """A community with forecasts of these variables, of which those of demand have become worse."""

    def __init__(self, **variables: Document) -> None:
        self.variables = variables
        self.asked: list[dict[str, Any]] = []

    def forecast_accuracy(self, community_id: str, **span: Any) -> Document:
        self.asked.append(span)
        return {"variables": self.variables}

    def issued_forecasts(self, community_id: str, **span: Any) -> Document:
        self.asked.append(span)
        return {"forecasts": [documents.issued()] if span["variable"] == "load_kw" else []}

    def models(self, community_id: str) -> Document:
        return {"drift": {"load_kw": documents.drift()}}


def looked_back_on(twin: FakeTwin) -> AppTest:
    def section(twin: "Any") -> None:
        import streamlit
        from tests.dashboard import documents

        from digital_twin.dashboard.pages.accuracy import look_back
        from digital_twin.dashboard.visit import Visit

        streamlit.cache_data.clear()
        look_back(Visit(twin, documents.community(), True), {"load_kw": "Demand", "pv_kw": "PV"})

    app = AppTest.from_function(section, args=(twin,), default_timeout=300).run()
    assert not app.exception
    return app


def test_the_section_warns_of_drift_and_shows_a_week_of_the_chosen_variable_and_two_of_its_skill() -> None:
    twin = FakeTwin(load_kw=documents.accuracy(0.3), pv_kw=documents.accuracy(0.1))
    app = looked_back_on(twin)
    assert [one.value for one in app.subheader] == [
        "What was forecast each midnight",
        "Skill by day",
        "Do intervals hold?",
    ]
    assert "Forecasts of demand have become worse" in app.warning[0].value
    judged, issued = twin.asked
    today = judged["end"] - timedelta(days=1)
    assert (judged["end"] - judged["start"]).days in (14, 15)  # 15 local days, one of which may be an hour shorter
    assert issued["end"] == judged["end"]
    assert today - timedelta(days=7, hours=1) <= issued["start"] <= today - timedelta(days=7, hours=-1)
    app.segmented_control[0].set_value("pv_kw").run()
    assert not app.warning
    assert "No forecast of PV was issued in these days." in [one.value for one in app.markdown]


def test_before_the_first_day_is_over_the_forecast_is_shown_and_its_worth_left_open() -> None:
    app = looked_back_on(FakeTwin(load_kw=documents.accuracy(None)))
    assert [one.value for one in app.subheader] == ["What was forecast each midnight"]
    assert "cannot be told yet" in app.markdown[-1].value


def test_the_section_of_a_new_community_is_one_friendly_sentence() -> None:
    app = looked_back_on(FakeTwin())
    assert [one.value for one in app.header] == ["How good were the last days?"]
    assert "The first comes on" in app.info[0].value
    assert not app.subheader


@settings(max_examples=25)
@given(values=st.lists(MAYBE, max_size=5), one=MAYBE)
def test_whatever_is_missing_sentences_are_said_and_pictures_drawn(
    values: list[float | None], one: float | None
) -> None:
    issued = documents.issued(actual=values, mean=values, quantiles={"0.05": values, "0.95": [one]})
    judged = documents.accuracy(*values, skill=one, coverage_50=one, coverage_90=one)
    drifted = documents.drift(relative_loss=one)
    said = (
        said_of(issued), findings.skill_finding(judged, "load_kw", 14), findings.calibration_finding(judged),
        str(findings.drift_sentence(drifted, "load_kw", VIENNA)),
    )  # fmt: skip
    assert all(text.endswith(".") and "nan" not in text and "None " not in text for text in said)
    for chart in (
        charts.issued_chart([issued], VIENNA, label="PV"), charts.skill_chart(judged["by_day"]),
        charts.calibration_chart(judged),
    ):  # fmt: skip
        assert chart.to_dict()["layer"]
