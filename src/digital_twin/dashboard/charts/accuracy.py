"""Issued forecasts beside what happened, what they save against the seasonal naive, and how their intervals hold."""

from collections.abc import Sequence
from datetime import date, tzinfo

import altair as alt
import pandas as pd

from digital_twin.dashboard.charts.forecasts import BAND_OPACITY, quantile_column
from digital_twin.dashboard.charts.marks import (
    BLACK,
    BLUE,
    GREY,
    STYLES,
    VERMILION,
    Picture,
    finished,
    time_axis,
    tooltip,
    value_axis,
)
from digital_twin.dashboard.frames import Document, hourly, intervals, with_last_edge
from digital_twin.dashboard.wording import is_known, percent

HAPPENED, EXPECTED, DAY = "happened", "expected", "day"
BANDS = (("0.05", "0.95"), ("0.25", "0.75"))
LOWEST_SKILL_DRAWN = -1.0
PROMISED = {"coverage_50": 0.5, "coverage_80": 0.8, "coverage_90": 0.9}
"""Column of an accuracy and the share of values that its interval should hold."""


def issued_frame(forecasts: Sequence[Document], zone: tzinfo, *, edges: bool = False) -> pd.DataFrame:
    """What was said of each day and what happened, one day after the other; `edges` end each day for a step chart."""
    days = [_day_frame(one, zone, edges=edges) for one in forecasts]
    return pd.concat(days or [_day_frame(_NOTHING, zone, edges=False)], ignore_index=True)


def _day_frame(issued: Document, zone: tzinfo, *, edges: bool) -> pd.DataFrame:
    quantiles = {quantile_column(level): issued["quantiles"].get(level) for band in BANDS for level in band}
    columns = {HAPPENED: issued["actual"], EXPECTED: issued["mean"], **quantiles}
    frame = intervals(issued["start"], issued["resolution_minutes"], columns, zone)
    frame[DAY] = issued["day"]
    return with_last_edge(frame, issued["resolution_minutes"]) if edges else frame


_NOTHING: Document = {
    "start": "1970-01-01T00:00:00Z", "resolution_minutes": 15, "day": "", "quantiles": {}, "mean": [], "actual": [],
}  # fmt: skip


def issued_chart(forecasts: Sequence[Document], zone: tzinfo, *, label: str) -> Picture:
    """The bands that held 90 and 50 % as they were said, and in black what happened."""
    frame = issued_frame(forecasts, zone, edges=True)
    colour = STYLES[label][0]
    colour = BLUE if colour == BLACK else colour
    x, day = time_axis(frame, zone), alt.Detail(f"{DAY}:N")
    layers: list[Picture] = []
    for low, high in ((quantile_column(low), quantile_column(high)) for low, high in BANDS):
        area = alt.Chart(frame).mark_area(color=colour, opacity=1.5 * BAND_OPACITY, interpolate="step-after")
        layers.append(area.encode(x=x, y=value_axis(low, "kW"), y2=alt.Y2(f"{high}:Q"), detail=day))
    happened = alt.Chart(frame).mark_line(color=BLACK, strokeWidth=1.5, interpolate="step-after")
    told = tooltip(
        (f"{HAPPENED}:Q", "happened kW"), (f"{EXPECTED}:Q", "expected kW"),
        (f"{quantile_column('0.05')}:Q", "lower kW"), (f"{quantile_column('0.95')}:Q", "upper kW"),
    )  # fmt: skip
    layers.append(happened.encode(x=x, y=value_axis(HAPPENED, "kW"), detail=day, tooltip=told))
    return finished(alt.layer(*layers))


def issued_table(forecasts: Sequence[Document], zone: tzinfo) -> pd.DataFrame:
    """Means of the hours."""
    names = {
        EXPECTED: "Expected kW", quantile_column("0.05"): "Lower kW", quantile_column("0.95"): "Upper kW",
        HAPPENED: "Happened kW",
    }  # fmt: skip
    return hourly(issued_frame(forecasts, zone), names)


def skill_frame(by_day: Document) -> pd.DataFrame:
    """A row for each day with a forecast; NaN where it could not be judged."""
    return pd.DataFrame({
        DAY: [f"{date.fromisoformat(one):%a %d %b}" for one in by_day["day"]],
        "skill": pd.array(by_day["skill"], dtype="Float64").to_numpy(dtype="float64", na_value=float("nan")),
    })  # fmt: skip


def skill_chart(by_day: Document) -> Picture:
    """Bars up where a day's forecast lost less than the seasonal naive, down where it lost more."""
    frame = skill_frame(by_day)
    known = frame["skill"].dropna()
    lowest = max(LOWEST_SKILL_DRAWN, min([0.0, *known]))
    y = alt.Y(
        "skill:Q", title=None, axis=alt.Axis(format="%", tickCount=5),
        scale=alt.Scale(domain=[lowest, max([0.1, *known])], nice=True),
    )  # fmt: skip
    x = alt.X(
        f"{DAY}:N", title=None, sort=None, scale=alt.Scale(domain=frame[DAY].tolist()),
        axis=alt.Axis(labelAngle=0, labelOverlap="parity", grid=False),
    )  # fmt: skip
    bars = alt.Chart(frame.dropna()).mark_bar(clip=True, width={"band": 0.7}).encode(
        x=x, y=y, color=alt.condition("datum.skill < 0", alt.value(VERMILION), alt.value(BLUE)),
        tooltip=[alt.Tooltip(f"{DAY}:N", title="Day"), alt.Tooltip("skill:Q", title="Skill", format="+.0%")],
    )  # fmt: skip
    zero = alt.Chart(pd.DataFrame({"at": [0.0]})).mark_rule(color="#1c2a26").encode(y="at:Q")
    return finished(alt.layer(bars, zero), height=200)


def skill_table(by_day: Document) -> pd.DataFrame:
    """Each day with what it was judged by."""
    return pd.DataFrame({
        "Day": skill_frame(by_day)[DAY],
        "Skill": _percents(by_day["skill"]),
        "Error of the mean": _percents(by_day["nmae"]),
        "Inside 90 %": _percents(by_day["coverage_90"]),
    })  # fmt: skip


def _percents(values: Sequence[float | None]) -> list[str]:
    return [percent(value) if is_known(value) else "" for value in values]


def calibration_frame(accuracy: Document) -> pd.DataFrame:
    """The intervals with what they promise and what they held, as far as that is known."""
    rows = [
        (f"{percent(promised)} interval", promised, accuracy[name])
        for name, promised in PROMISED.items()
        if is_known(accuracy[name])
    ]
    return pd.DataFrame(rows, columns=["interval", "promised", "held"])


def calibration_chart(accuracy: Document) -> Picture:
    """For each interval an upright stroke where it should be, and a dot where it was."""
    frame = calibration_frame(accuracy)
    share = alt.Axis(title=None, format="%", tickCount=5)
    promised, held = (
        alt.X(f"{column}:Q", scale=alt.Scale(domain=[0, 1]), axis=share) for column in ("promised", "held")
    )
    y = alt.Y("interval:N", title=None, sort=None, axis=alt.Axis(labelLimit=0, grid=True))
    told = [
        alt.Tooltip("interval:N", title="Of the"),
        alt.Tooltip("held:Q", title="held", format=".0%"),
        alt.Tooltip("promised:Q", title="promised", format=".0%"),
    ]
    at = alt.Chart(frame)
    strokes = at.mark_tick(color=GREY, thickness=3, size=28).encode(x=promised, y=y, tooltip=told)
    dots = at.mark_circle(color=BLUE, size=130, opacity=1).encode(x=held, y=y, tooltip=told)
    return finished(alt.layer(strokes, dots), height=200)


def calibration_table(accuracy: Document) -> pd.DataFrame:
    """Promised beside held."""
    frame = calibration_frame(accuracy)
    return pd.DataFrame({
        "Interval": frame["interval"],
        "Promised": _percents(frame["promised"].tolist()),
        "Held": _percents(frame["held"].tolist()),
    })  # fmt: skip
