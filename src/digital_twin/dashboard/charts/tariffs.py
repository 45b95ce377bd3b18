"""A designed tariff as pictures: prices, what demand makes of them, who gains."""

from collections.abc import Mapping
from datetime import tzinfo

import altair as alt
import numpy as np
import pandas as pd

from digital_twin.dashboard.charts.marks import (
    BLUE,
    STYLES,
    VERMILION,
    Picture,
    finished,
    level_line,
    scales,
    time_axis,
    tooltip,
    value_axis,
)
from digital_twin.dashboard.clock import parsed
from digital_twin.dashboard.frames import Document, Values, hourly, intervals, long, with_last_edge

PRICES = {
    "import_price_per_kwh": "New import price",
    "present_import": "Import price today",
    "export_price_per_kwh": "New feed-in price",
}
DEMANDS = {"demand_after_kw": "Demand after", "demand_before_kw": "Demand before"}
"""The dashed line is drawn over the solid one, so that both are seen where they meet."""
BOUNDS = ("_low", "_high")
BAND_OPACITY = 0.12
PARTS = {
    "consumer_surplus": "Consumers",
    "operator_margin": "Operator's margin",
    "pv_receipts": "Owners of PV",
    "carbon_damage": "Climate",
}
TOTAL = "All together"
MOST_MEMBERS_DRAWN = 30
ROOM_FOR_AMOUNT = 0.2


def tariff_frame(tariff: Document, zone: tzinfo) -> pd.DataFrame:
    """Prices and demand, new and present."""
    present: Document = tariff.get("present_tariff") or {}
    columns: dict[str, Values | None] = {
        name: tariff.get(name) for name in ("import_price_per_kwh", "export_price_per_kwh", *DEMANDS)
    }
    columns |= {f"{name}{bound}": tariff.get(_bound(name, bound)) for name in DEMANDS for bound in BOUNDS}
    columns["present_import"] = present.get("import_price_per_kwh")
    return intervals(tariff["start"], tariff["resolution_minutes"], columns, zone)


def price_chart(tariff: Document, currency: str, zone: tzinfo) -> Picture:
    """The new prices beside those of today."""
    return _lines(tariff, PRICES, f"{currency} per kWh", ".3f", zone)


def demand_chart(tariff: Document, zone: tzinfo) -> Picture:
    """Demand under the prices of today and under the new ones, each in its band where that is known."""
    return _lines(tariff, DEMANDS, "kW", ".1f", zone)


def _lines(tariff: Document, names: Mapping[str, str], unit: str, digits: str, zone: tzinfo) -> Picture:
    frame = with_last_edge(tariff_frame(tariff, zone), tariff["resolution_minutes"])
    colour, dash = scales(list(names.values()))
    lines = alt.Chart(long(frame, names)).mark_line(interpolate="step-after", strokeWidth=2.5)
    x = time_axis(frame, zone)
    bands = [_band(frame, name, x, STYLES[shown][0]) for name, shown in names.items()]
    return finished(
        alt.layer(
            *[band for band in bands if band is not None],
            lines.encode(
                x=x,
                y=value_axis("value", unit),
                color=colour,
                strokeDash=dash,
                tooltip=[
                    *tooltip(),
                    alt.Tooltip("value:Q", format=digits, title=unit),
                    alt.Tooltip("series:N", title="What"),
                ],
            ),
        )
    )


def _bound(name: str, bound: str) -> str:
    return f"{name.removesuffix('_kw')}{bound}_kw"


def _band(frame: pd.DataFrame, name: str, x: alt.X, colour: str) -> Picture | None:
    """Between what demand lies; None where that is not known."""
    low, high = (f"{name}{bound}" for bound in BOUNDS)
    if low not in frame or np.isnan(frame[low].to_numpy()).all():
        return None
    area = alt.Chart(frame).mark_area(interpolate="step-after", opacity=BAND_OPACITY, color=colour)
    return area.encode(x=x, y=alt.Y(f"{low}:Q"), y2=f"{high}:Q")


def welfare_frame(tariff: Document) -> pd.DataFrame:
    """Who gains how much against the present tariff; less damage is a gain, and all parts sum to the last row."""
    welfare: Document = tariff.get("welfare") or {}
    rows = [
        (shown, -welfare[name] if name == "carbon_damage" else welfare[name])
        for name, shown in PARTS.items()
        if welfare.get(name) is not None
    ]
    if welfare.get("change") is not None:
        rows.append((TOTAL, welfare["change"]))
    return pd.DataFrame(rows, columns=["who", "gain"]).astype({"gain": "float64"})


def welfare_chart(tariff: Document, currency: str) -> Picture:
    """Gains to the right, losses to the left."""
    return gains_chart(welfare_frame(tariff), f"gain in {currency}")


def gains_chart(frame: pd.DataFrame, title: str) -> Picture:
    """Signed bars with their amounts; a loss is told by its side, its sign and its colour."""
    y = alt.Y(
        "who:N", title=None, sort=frame["who"].tolist(), axis=alt.Axis(labelLimit=0, labelFontSize=13, ticks=False)
    )
    x = alt.X("gain:Q", title=title, scale=alt.Scale(domain=_with_room(frame)), axis=alt.Axis(tickCount=5))
    layers: list[Picture] = [
        alt.Chart(part)
        .mark_bar(height={"band": 0.7}, color=colour)
        .encode(x=x, y=y, tooltip=["who:N", alt.Tooltip("gain:Q", format="+,.2f")])
        for part, colour in ((frame[frame["gain"] >= 0], BLUE), (frame[frame["gain"] < 0], VERMILION))
        if len(part)
    ]
    amount = alt.Text("gain:Q", format="+,.2f")
    if len(right := frame[frame["gain"] >= 0]):
        text = alt.Chart(right).mark_text(align="left", dx=5, color="#1c2a26", fontSize=12)
        layers.append(text.encode(x=x, y=y, text=amount))
    if len(left := frame[frame["gain"] < 0]):
        text = alt.Chart(left).mark_text(align="right", dx=-5, color="#1c2a26", fontSize=12)
        layers.append(text.encode(x=x, y=y, text=amount))
    layers.append(alt.Chart(pd.DataFrame({"at": [0.0]})).mark_rule(color="#1c2a26").encode(x="at:Q"))
    return finished(alt.layer(*layers), height=30 * max(1, len(frame)) + 30)


def _with_room(frame: pd.DataFrame) -> list[float]:
    """From the largest loss to the largest gain, with room for their amounts."""
    gains = np.append(frame["gain"].to_numpy(), 0.0)
    room = ROOM_FOR_AMOUNT * max(float(np.nanmax(gains) - np.nanmin(gains)), 1e-9)
    return [
        float(np.nanmin(gains)) - (room if np.nanmin(gains) < 0 else 0.0),
        float(np.nanmax(gains)) + (room if np.nanmax(gains) > 0 else 0.0),
    ]


def distribution_frame(tariff: Document) -> pd.DataFrame:
    """Gains of single members, or of their tenths where there are many or names are not for this reader."""
    told: Document = tariff.get("distribution") or {}
    members: list[Document] = told.get("members") or []
    deciles: Document = told.get("surplus_change_deciles") or {}
    rows: list[tuple[str, float]] = []
    if 0 < len(members) <= MOST_MEMBERS_DRAWN:
        ranked = sorted(members, key=lambda one: one["surplus_change"], reverse=True)
        rows = [(one["member_id"], one["surplus_change"]) for one in ranked]
    elif deciles:
        rows = [(f"{float(level):.0%} gain less than", value) for level, value in reversed(deciles.items())]
    return pd.DataFrame(rows, columns=["who", "gain"]).astype({"gain": "float64"})


def budget_frame(tariff: Document, zone: tzinfo) -> pd.DataFrame:
    """What each local day pays of its budget."""
    rows = [
        (f"{parsed(day['start']).astimezone(zone):%a %d %b}", day["incentives_paid"], day["incentive_budget"])
        for day in tariff.get("days") or []
    ]
    return pd.DataFrame(rows, columns=["day", "paid", "budget"]).astype({"paid": "float64", "budget": "float64"})


def budget_chart(tariff: Document, currency: str, zone: tzinfo) -> Picture:
    """Incentives of each day under the line of the budget."""
    frame = budget_frame(tariff, zone)
    bars = (
        alt.Chart(frame)
        .mark_bar(color=BLUE, width=46)
        .encode(
            x=alt.X("day:N", title=None, sort=None, axis=alt.Axis(labelAngle=0)),
            y=value_axis("paid", currency),
            tooltip=[
                alt.Tooltip("day:N"),
                alt.Tooltip("paid:Q", format=",.2f"),
                alt.Tooltip("budget:Q", format=",.2f"),
            ],
        )
    )
    if frame.empty:
        return finished(bars, height=180)
    budget = float(frame["budget"].to_numpy().max())
    return finished(bars + level_line(budget, f"budget: {budget:,.2f} {currency} a day"), height=180)


def tariff_table(tariff: Document, currency: str, zone: tzinfo) -> pd.DataFrame:
    """Prices by hour."""
    return hourly(tariff_frame(tariff, zone), {name: f"{shown}, {currency}/kWh" for name, shown in PRICES.items()}, 4)


def demand_table(tariff: Document, zone: tzinfo) -> pd.DataFrame:
    """Demand by hour."""
    return hourly(tariff_frame(tariff, zone), {name: f"{shown} kW" for name, shown in DEMANDS.items()}, 2)
