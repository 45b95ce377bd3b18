"""A forecast as a fan, after the last readings before it."""

from collections.abc import Sequence
from datetime import tzinfo

import altair as alt
import pandas as pd

from digital_twin.dashboard.charts.marks import (
    BLACK,
    STYLES,
    Picture,
    finished,
    rule_at,
    time_axis,
    tooltip,
    value_axis,
)
from digital_twin.dashboard.clock import parsed
from digital_twin.dashboard.frames import TIME, Document, Values, hourly, intervals, with_last_edge

BANDS = (("0.05", "0.95"), ("0.1", "0.9"), ("0.25", "0.75"))
BAND_OPACITY = 0.18
MEASURED = "measured"


def quantile_column(level: str) -> str:
    """The column of a quantile; a point in a name would be a path to Vega."""
    return f"q{level.replace('.', '_')}"


def forecast_frame(forecast: Document, variable: str, zone: tzinfo) -> pd.DataFrame:
    """Mean, bounds and quantiles of one variable."""
    made = forecast["variables"].get(variable) or {}
    columns: dict[str, Values | None] = {
        "mean": made.get("mean"), "lower": made.get("lower"), "upper": made.get("upper"),
        **{quantile_column(level): values for level, values in (made.get("quantiles") or {}).items()},
    }  # fmt: skip
    return intervals(forecast["start"], forecast["resolution_minutes"], columns, zone)


def history_frame(columns: Sequence[Document], variable: str, zone: tzinfo) -> pd.DataFrame:
    """The readings of a variable; for net demand those of demand less those of PV where it has none of its own."""
    own = {column["name"]: column for column in columns}
    if variable in own:
        return _readings(own[variable], zone)
    if variable == "net_load_kw" and {"load_kw", "pv_kw"} <= set(own):
        load, pv = (_readings(own[name], zone) for name in ("load_kw", "pv_kw"))
        both = load.merge(pv[[TIME, MEASURED]], on=TIME, suffixes=("", "_pv"))
        both[MEASURED] -= both.pop(f"{MEASURED}_pv")
        return both
    return intervals("1970-01-01T00:00:00Z", 15, {MEASURED: []}, zone)


def _readings(column: Document, zone: tzinfo) -> pd.DataFrame:
    return intervals(column["start"], column["resolution_minutes"], {MEASURED: column["values"]}, zone)


def fan_chart(forecast: Document, variable: str, history: pd.DataFrame, zone: tzinfo, *, label: str) -> Picture:
    """Nested bands around the mean; the readings before are black and stop where the forecast begins."""
    minutes = forecast["resolution_minutes"]
    frame = with_last_edge(forecast_frame(forecast, variable, zone), minutes)
    colour = STYLES.get(label, (BLACK, []))[0]
    colour = "#0072B2" if colour == BLACK else colour
    x = time_axis(pd.concat([history, frame], ignore_index=True), zone)
    layers: list[Picture] = [
        _band(frame, low, high, x, colour)
        for low, high in ((quantile_column(low), quantile_column(high)) for low, high in BANDS)
        if low in frame and high in frame
    ]
    mean = alt.Chart(frame).mark_line(color=colour, strokeWidth=2.5, strokeDash=[8, 4], interpolate="step-after")
    layers.append(
        mean.encode(x=x, y=value_axis("mean", "kW"), tooltip=tooltip(
            ("mean:Q", "expected kW"), ("lower:Q", "lower kW"), ("upper:Q", "upper kW"),
        ))
    )  # fmt: skip
    if len(history[MEASURED].dropna()):
        measured = alt.Chart(history).mark_line(color=BLACK, strokeWidth=2, interpolate="step-after")
        told = tooltip((f"{MEASURED}:Q", "measured kW"))
        layers.append(measured.encode(x=x, y=value_axis(MEASURED, "kW"), tooltip=told))
    layers.append(rule_at(parsed(forecast["start"]), "forecast"))
    return finished(alt.layer(*layers))


def _band(frame: pd.DataFrame, low: str, high: str, x: alt.X, colour: str) -> alt.Chart:
    area = alt.Chart(frame).mark_area(color=colour, opacity=BAND_OPACITY, interpolate="step-after")
    return area.encode(x=x, y=value_axis(low, "kW"), y2=alt.Y2(f"{high}:Q"))


def forecast_table(forecast: Document, variable: str, zone: tzinfo) -> pd.DataFrame:
    """Means of the hours."""
    names = {"mean": "Expected kW", "lower": "Lower kW", "upper": "Upper kW"}
    frame = forecast_frame(forecast, variable, zone)
    return hourly(frame, {name: shown for name, shown in names.items() if len(frame[name].dropna())})
