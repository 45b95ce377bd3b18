"""What all pictures share: colours with a fixed meaning, dashes beside them, and a time axis in local time.

Colours are those of Okabe and Ito (2008), which people with every kind of colour vision tell apart; a dash or a place
says the same once more.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

import altair as alt
import numpy as np
import pandas as pd

from digital_twin.dashboard.frames import TIME, WHEN, milliseconds

BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE, GREY = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7", "#6b7a75",
)  # fmt: skip

SOLID, DASHED, DOTTED, DASH_DOT = [1, 0], [8, 4], [2, 3], [8, 3, 2, 3]

STYLES: Mapping[str, tuple[str, list[int]]] = {
    "Demand": (BLACK, SOLID),
    "PV": (ORANGE, DASHED),
    "Net demand": (BLUE, DASH_DOT),
    "From the grid": (BLUE, DASH_DOT),
    "To the grid": (PURPLE, DOTTED),
    "From storage": (GREEN, DASHED),
    "Into storage": ("#8fd3bd", DOTTED),
    "Stored energy": (GREEN, SOLID),
    "PV used here": (ORANGE, SOLID),
    "Import price": (VERMILION, SOLID),
    "Feed-in price": (PURPLE, DASHED),
    "New import price": (VERMILION, SOLID),
    "Import price today": (GREY, DASHED),
    "New feed-in price": (PURPLE, DOTTED),
    "Demand before": (SKY, DASHED),
    "Demand after": (BLACK, SOLID),
    "Workdays": (BLACK, SOLID),
    "Days off": (SKY, DASHED),
    "That day": (VERMILION, SOLID),
    "Usual": (GREY, DASHED),
}
"""Meaning -> colour and dash; the same on every page."""

LINES = ((BLUE, SOLID), (VERMILION, DASHED), (GREEN, DOTTED), (PURPLE, DASH_DOT), (BLACK, SOLID), (ORANGE, DASHED))
"""Colours and dashes of what has no meaning of its own: scenarios, models."""

Picture = alt.Chart | alt.LayerChart | alt.FacetChart

HEIGHT = 260
LABELLED_EVERY_HOURS = ((14, 3), (30, 6), (60, 12), (10_000, 24))
"""A window of up to so many hours has a tick each so many hours."""


def scales(series: Sequence[str]) -> tuple[alt.Color, alt.StrokeDash]:
    """Colour and dash of these series, told by one legend above the picture."""
    return named_scales(series, [STYLES[one] for one in series])


def named_scales(series: Sequence[str], styles: Sequence[tuple[str, list[int]]]) -> tuple[alt.Color, alt.StrokeDash]:
    """The same in these colours and dashes, in turn."""
    styles = [styles[place % len(styles)] for place in range(len(series))]
    legend = alt.Legend(
        title=None, orient="top", columns=2, labelLimit=0, offset=24,
        symbolType="stroke", symbolStrokeWidth=2.5, symbolSize=500, symbolOpacity=1,
    )  # fmt: skip
    colour = alt.Color(
        "series:N", scale=alt.Scale(domain=list(series), range=[one for one, _ in styles]), legend=legend
    )
    dash = alt.StrokeDash(
        "series:N", scale=alt.Scale(domain=list(series), range=[one for _, one in styles]), legend=legend
    )
    return colour, dash


def places(series: Sequence[str]) -> alt.Color:
    """Colours of areas and bars, whose place says the same."""
    legend = alt.Legend(title=None, orient="top", columns=3, labelLimit=0, offset=24, symbolType="square")
    return alt.Color(
        "series:N",
        scale=alt.Scale(domain=list(series), range=[STYLES[one][0] for one in series]),
        legend=legend,
    )


def time_axis(frame: pd.DataFrame, zone: tzinfo, *, title: str | None = None) -> alt.X:
    """True time along the axis, labelled in the zone's own: a day of 23 or 25 hours is drawn as long as it is."""
    times = frame[TIME].to_numpy(dtype=np.float64) if len(frame) else np.array([0.0, 3_600_000.0])
    first, last = float(times.min()), float(times.max())
    labels = {milliseconds(instant): text for instant, text in _ticks(first, last, zone)}
    texts = ", ".join(f"'{at:.0f}': '{text}'" for at, text in labels.items())
    axis = alt.Axis(
        title=title,
        values=list(labels),
        labelExpr=f"{{{texts}}}[toString(datum.value)]",
        labelOverlap="parity",
        labelBound=True,
        grid=True,
    )
    scale = alt.Scale(domain=[first, max(last, first + 1)], nice=False, zero=False)
    return alt.X(f"{TIME}:Q", scale=scale, axis=axis)


def _ticks(first_ms: float, last_ms: float, zone: tzinfo) -> list[tuple[datetime, str]]:
    """Whole local hours of the window: midnight by its day, the others by the clock."""
    first, last = (datetime.fromtimestamp(one / 1000, UTC) for one in (first_ms, last_ms))
    hours = (last - first) / timedelta(hours=1)
    every = next(step for longest, step in LABELLED_EVERY_HOURS if hours <= longest or longest == 10_000)
    ticks: list[tuple[datetime, str]] = []
    instant = first.replace(minute=0, second=0, microsecond=0)
    while instant <= last:
        local = instant.astimezone(zone)
        if instant >= first and local.minute == 0 and local.hour % every == 0:
            ticks.append((instant, f"{local:%a %d %b}" if local.hour == 0 else f"{local:%H:%M}"))
        instant += timedelta(minutes=30)
    return ticks


def value_axis(column: str, title: str, *, from_zero: bool = True) -> alt.Y:
    """A value with its unit."""
    return alt.Y(
        f"{column}:Q",
        title=title,
        scale=alt.Scale(zero=from_zero, nice=True),
        axis=alt.Axis(titleAngle=0, titleAlign="left", titleAnchor="end", titleX=0, titleY=-8, tickCount=5),
    )


def tooltip(*fields: tuple[str, str]) -> list[alt.Tooltip]:
    """The interval and these numbers of it."""
    return [
        alt.Tooltip(f"{WHEN}:N", title="From"),
        *(alt.Tooltip(field, title=title, format=",.2f") for field, title in fields),
    ]


def rule_at(instant: datetime, text: str) -> Picture:
    """A labelled upright line: where something begins."""
    at = alt.Chart(pd.DataFrame({TIME: [milliseconds(instant)], "text": [text]}))
    line = at.mark_rule(color=GREY, strokeDash=[4, 3]).encode(x=alt.X(f"{TIME}:Q"))
    label = at.mark_text(align="left", dx=4, dy=4, baseline="top", color="#3d4a45", fontSize=12).encode(
        x=alt.X(f"{TIME}:Q"), y=alt.value(0), text="text:N"
    )
    return line + label


def level_line(value: float, text: str) -> Picture:
    """A labelled level line: what cannot be passed."""
    at = alt.Chart(pd.DataFrame({"level": [value], "text": [text]}))
    line = at.mark_rule(color=GREY, strokeDash=[4, 3]).encode(y="level:Q")
    label = at.mark_text(align="right", baseline="bottom", dx=-4, dy=-2, color="#3d4a45", fontSize=12).encode(
        x=alt.value("width"), y="level:Q", text="text:N"
    )
    return line + label


def finished(chart: Picture, *, height: int = HEIGHT) -> Picture:
    """The size and the plain frame of every picture."""
    return (
        chart.properties(height=height, padding={"left": 4, "right": 14, "top": 6, "bottom": 4})
        .configure_view(stroke=None)
        .configure_axis(
            labelColor="#3d4a45", titleColor="#3d4a45", gridColor="#e6ece9", domainColor="#9fb0a9",
            labelFontSize=12, titleFontSize=12, titleFontWeight="normal",
        )
        .configure_legend(labelColor="#1c2a26", labelFontSize=12)
    )  # fmt: skip
