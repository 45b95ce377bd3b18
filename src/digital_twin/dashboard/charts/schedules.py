"""A dispatch plan as pictures: where the power comes from, what is stored, what it costs."""

from datetime import tzinfo
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from digital_twin.dashboard.charts.marks import (
    BLACK,
    GREEN,
    SKY,
    Picture,
    finished,
    level_line,
    places,
    scales,
    time_axis,
    tooltip,
    value_axis,
)  # fmt: skip
from digital_twin.dashboard.frames import TIME, WHEN, Document, hourly, intervals, long, with_last_edge
from digital_twin.dashboard.wording import name_of

SUPPLY = {"pv_used_kw": "PV used here", "discharge_kw": "From storage", "import_kw": "From the grid"}
OUTLETS = {"charge_kw": "Into storage", "export_kw": "To the grid"}
PRICES = {"import_price_per_kwh": "Import price", "export_price_per_kwh": "Feed-in price"}
FIELDS = (
    "load_kw", "pv_kw", "charge_kw", "discharge_kw", "soc_kwh", "import_kw", "export_kw", "curtailed_kw",
    "import_price_per_kwh", "export_price_per_kwh",
)  # fmt: skip
ROOM_FOR_NAME = 0.18
"""Part of the picture's height and width that an area must have to carry its name."""


def schedule_frame(schedule: Document, zone: tzinfo) -> pd.DataFrame:
    """All columns of the plan; `pv_used_kw` is what of the PV is neither curtailed nor fed in nor stored."""
    columns = {name: schedule.get(name) for name in FIELDS}
    frame = intervals(schedule["start"], schedule["resolution_minutes"], columns, zone)
    taken = frame[["curtailed_kw", "export_kw", "charge_kw"]].fillna(0.0).sum(axis=1)
    frame["pv_used_kw"] = (frame["pv_kw"] - taken).clip(lower=0.0)
    return frame


def supply_chart(schedule: Document, zone: tzinfo) -> Picture:
    """What meets the demand, stacked; what goes into storage and to the grid hangs below zero."""
    frame = with_last_edge(schedule_frame(schedule, zone), schedule["resolution_minutes"])
    x = time_axis(frame, zone)
    stacked = stacked_powers(frame)
    areas = (
        alt.Chart(stacked)
        .mark_area(interpolate="step-after", opacity=0.8, line={"color": "#ffffff", "strokeWidth": 1})
        .encode(
            x=x,
            y=value_axis("from", "kW"),
            y2="to:Q",
            color=places(list({**SUPPLY, **OUTLETS}.values())),
            tooltip=[*tooltip(("value:Q", "kW")), alt.Tooltip("series:N", title="What")],
        )
    )
    load = (
        alt.Chart(frame)
        .mark_line(color=BLACK, strokeWidth=2.5, interpolate="step-after")
        .encode(x=x, y=alt.Y("load_kw:Q"), tooltip=tooltip(("load_kw:Q", "demand kW")))
    )
    labels = (
        alt.Chart(name_places(stacked))
        .mark_text(fontSize=12, fontWeight="bold", color="#1c2a26")
        .encode(x=alt.X(f"{TIME}:Q"), y=alt.Y("middle:Q"), text="series:N")
    )
    return finished(areas + load + labels, height=340)


def stacked_powers(frame: pd.DataFrame) -> pd.DataFrame:
    """Each series of each interval as the span `from`..`to` that it takes: supply above zero, outlets below."""
    parts: list[pd.DataFrame] = []
    for names, sign in ((SUPPLY, 1.0), (OUTLETS, -1.0)):
        edge = pd.Series(0.0, index=frame.index)
        for column, shown in names.items():
            value = frame[column].fillna(0.0)
            after = edge + sign * value
            parts.append(frame[[TIME, WHEN]].assign(**{"series": shown, "value": value, "from": edge, "to": after}))
            edge = after
    return pd.concat(parts, ignore_index=True)


def name_places(stacked: pd.DataFrame) -> pd.DataFrame:
    """Where each series has room for its name: the middle of the longest stretch that is tall enough, if any."""
    columns = [TIME, "middle", "series"]
    if stacked.empty:
        return pd.DataFrame(columns=columns)
    tall = ROOM_FOR_NAME * 0.7 * float(np.ptp(stacked["to"].to_numpy()))
    rows: list[tuple[float, float, str]] = []
    for series, part in stacked.groupby("series", sort=False):
        start, stop = longest_run(part["value"].to_numpy() > max(tall, 1e-9))
        if stop - start >= ROOM_FOR_NAME * len(part):
            row: Any = part.iloc[(start + stop) // 2]
            rows.append((row[TIME], (row["from"] + row["to"]) / 2, str(series)))
    return pd.DataFrame(rows, columns=columns)


def longest_run(flags: NDArray[np.bool_]) -> tuple[int, int]:
    """Start and end of the longest stretch of true ones; empty where there is none."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    if edges.size == 0:
        return 0, 0
    starts, stops = edges[::2], edges[1::2]
    best = int(np.argmax(stops - starts))
    return int(starts[best]), int(stops[best])


def storage_chart(schedule: Document, capacity_kwh: float | None, zone: tzinfo) -> Picture:
    """Stored energy at the end of each interval, under the line of what fits in."""
    frame = schedule_frame(schedule, zone)
    frame[TIME] += 60_000.0 * schedule["resolution_minutes"]
    x = time_axis(frame, zone)
    area = (
        alt.Chart(frame)
        .mark_area(color=GREEN, opacity=0.25, line={"color": GREEN, "strokeWidth": 2})
        .encode(x=x, y=value_axis("soc_kwh", "kWh"), tooltip=tooltip(("soc_kwh:Q", "stored kWh")))
    )
    if not capacity_kwh:
        return finished(area, height=200)
    return finished(area + level_line(capacity_kwh, f"full: {capacity_kwh:,.0f} kWh"), height=200)


def price_chart(schedule: Document, currency: str, zone: tzinfo) -> Picture:
    """What a kWh costs and earns."""
    frame = with_last_edge(schedule_frame(schedule, zone), schedule["resolution_minutes"])
    colour, dash = scales(list(PRICES.values()))
    lines = (
        alt.Chart(long(frame, PRICES))
        .mark_line(interpolate="step-after", strokeWidth=2.5)
        .encode(
            x=time_axis(frame, zone),
            y=value_axis("value", f"{currency} per kWh"),
            color=colour,
            strokeDash=dash,
            tooltip=[*tooltip(), alt.Tooltip("value:Q", format=".3f", title=f"{currency}/kWh"), "series:N"],
        )
    )
    return finished(lines, height=200)


def cost_frame(schedule: Document) -> pd.DataFrame:
    """The plan's cost beside those of its baselines."""
    baselines: Document = (schedule.get("savings") or {}).get("baselines") or {}
    rows = [("This plan", schedule.get("cost"), 0.0)]
    rows += [(name_of(name).capitalize(), one["cost"], one["saved"]) for name, one in baselines.items()]
    return pd.DataFrame(rows, columns=["way", "cost", "saved"])


def cost_chart(schedule: Document, currency: str) -> Picture:
    """Costs as bars with their amounts."""
    frame = cost_frame(schedule)
    y = alt.Y("way:N", title=None, sort=None, axis=alt.Axis(labelLimit=0, labelFontSize=13))
    bars = (
        alt.Chart(frame)
        .mark_bar(height=24)
        .encode(
            x=alt.X("cost:Q", title=f"cost in {currency}", axis=alt.Axis(tickCount=5)),
            y=y,
            color=alt.condition(alt.datum.way == "This plan", alt.value(GREEN), alt.value(SKY)),
        )
    )
    labels = (
        alt.Chart(frame)
        .mark_text(align="left", dx=6, color="#1c2a26", fontSize=13)
        .encode(x=alt.X("cost:Q"), y=y, text=alt.Text("cost:Q", format=",.2f"))
    )
    return finished(bars + labels, height=44 * max(1, len(frame)) + 20)


def schedule_table(schedule: Document, zone: tzinfo) -> pd.DataFrame:
    """The plan by hour."""
    names = {
        "load_kw": "Demand kW", "pv_kw": "PV kW", "discharge_kw": "From storage kW", "charge_kw": "Into storage kW",
        "import_kw": "From grid kW", "export_kw": "To grid kW", "curtailed_kw": "Curtailed kW",
    }  # fmt: skip
    return hourly(schedule_frame(schedule, zone), names)
