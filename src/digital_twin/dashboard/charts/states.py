"""The state of a community as pictures: the power that flows now, and the last days with their uncertainty."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

import altair as alt
import pandas as pd

from digital_twin.dashboard.charts.marks import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    Picture,
    finished,
    level_line,
    rule_at,
    scales,
    time_axis,
    tooltip,
    value_axis,
)  # fmt: skip
from digital_twin.dashboard.clock import parsed
from digital_twin.dashboard.frames import (
    TIME,
    Document,
    Values,
    hourly,
    intervals,
    long,
    milliseconds,
    with_last_edge,
)
from digital_twin.dashboard.wording import is_known, name_of, quantity

SURE = 1.959964
"""Standard deviations on either side that hold 95 % of a normal distribution."""

POWERS = ("demand_kw", "pv_kw", "net_load_kw")
STORED = "storage_soc_kwh"
BAND_OPACITY = 0.16
ESTIMATED, PREDICTED = "estimated", "expected"
WIDTHS = alt.StrokeWidth("told:O", scale=alt.Scale(domain=[ESTIMATED, PREDICTED], range=[2.2, 1.2]), legend=None)
"""What is only expected is drawn thinner."""
WORDS = (alt.Tooltip("series:N", title="What"), alt.Tooltip("told:N", title="Is"))

IDLE_KW = 0.05
WIDEST = 12.0


@dataclass(frozen=True, slots=True)
class Flow:
    """Powers at one instant in kW; storage > 0 gives, grid > 0 is import, None where there is no such thing."""

    pv_kw: float
    demand_kw: float
    storage_kw: float | None
    grid_kw: float


def flow_of(state: Document, history: Document, community: Document) -> Flow | None:
    """What flows now; the storage's power is how its energy last changed."""
    means = {name: (one or {}).get("mean") for name, one in (state.get("states") or {}).items()}
    demand, pv = means.get("demand_kw"), means.get("pv_kw")
    if demand is None or pv is None or not is_known(demand) or not is_known(pv):
        return None
    storage = storage_power_kw(history, community) if community.get("total_storage_capacity_kwh") else None
    return Flow(pv, demand, storage, demand - pv - (storage or 0.0))


def storage_power_kw(history: Document, community: Document) -> float:
    """On the AC side, from the last two estimates of the stored energy; > 0 gives."""
    stored = [value for value in _estimates(history, STORED)[0] or () if is_known(value)]
    if len(stored) < 2:
        return 0.0
    gained_kw = ((stored[-1] or 0.0) - (stored[-2] or 0.0)) * 60 / history["resolution_minutes"]
    efficiency = 1 / community["charge_efficiency"] if gained_kw > 0 else community["discharge_efficiency"]
    return -gained_kw * efficiency + 0.0


def _estimates(history: Document, name: str) -> tuple[Values | None, Values | None]:
    made = (history.get("states") or {}).get(name) or {}
    return made.get("mean"), made.get("sd")


def history_frame(history: Document, zone: tzinfo) -> pd.DataFrame:
    """For each state its mean and the 95 % band as `<name>_low` and `<name>_high`, never below what is possible."""
    columns: dict[str, Values | None] = {}
    for name in (*POWERS, STORED):
        columns[name], columns[f"{name}_sd"] = _estimates(history, name)
    frame = intervals(history["start"], history["resolution_minutes"], columns, zone)
    for name in (*POWERS, STORED):
        spread = SURE * frame.pop(f"{name}_sd")
        frame[f"{name}_low"], frame[f"{name}_high"] = frame[name] - spread, frame[name] + spread
        if not name.startswith("net_"):
            frame[f"{name}_low"] = frame[f"{name}_low"].clip(lower=0.0)
    return frame


def prediction_frame(prediction: Document, zone: tzinfo) -> pd.DataFrame:
    """The same of the hours ahead, which come with their band."""
    columns: dict[str, Values | None] = {}
    for name in (*POWERS, STORED):
        made = (prediction.get("states") or {}).get(name) or {}
        columns |= {name: made.get("mean"), f"{name}_low": made.get("lower"), f"{name}_high": made.get("upper")}
    return intervals(prediction["start"], prediction["resolution_minutes"], columns, zone)


def course(history: Document, prediction: Document, zone: tzinfo) -> pd.DataFrame:
    """What was and what is expected, one after the other; the column `told` says which."""
    expected: Any = prediction_frame(prediction, zone)
    was: Any = history_frame(history, zone)
    if len(expected):
        was = was[was[TIME] < expected[TIME].iloc[0]]
        expected = expected[expected[TIME] >= milliseconds(parsed(history["start"]))]
    frames = [(was, history, ESTIMATED), (expected, prediction, PREDICTED)]
    return pd.concat(
        [with_last_edge(frame, of["resolution_minutes"]).assign(told=told) for frame, of, told in frames],
        ignore_index=True,
    )


def power_chart(history: Document, prediction: Document, zone: tzinfo) -> Picture:
    """Demand, PV and net demand with their bands, as they were and as they are expected."""
    frame = course(history, prediction, zone)
    x = time_axis(frame, zone)
    names = {name: name_of(name) for name in POWERS}
    bands = pd.concat(
        [
            frame[[TIME, "told", f"{name}_low", f"{name}_high"]]
            .set_axis([TIME, "told", "low", "high"], axis=1)
            .assign(series=shown)
            .dropna()
            for name, shown in names.items()
        ],
        ignore_index=True,
    )
    lines = pd.concat([long(part, names).assign(told=told) for told, part in frame.groupby("told")], ignore_index=True)
    colour, dash = scales(list(names.values()))
    band = (
        alt.Chart(bands)
        .mark_area(opacity=BAND_OPACITY, interpolate="step-after")
        .encode(x=x, y=value_axis("low", "kW"), y2="high:Q", color=colour, detail="told:N")
    )
    line = (
        alt.Chart(lines)
        .mark_line(interpolate="step-after")
        .encode(
            x=x, y=value_axis("value", "kW"), color=colour, strokeDash=dash, strokeWidth=WIDTHS, detail="told:N",
            tooltip=[*tooltip(("value:Q", "kW")), *WORDS],
        )
    )  # fmt: skip
    return finished(band + line + _from_here_on(prediction), height=320)


def stored_chart(history: Document, prediction: Document, capacity_kwh: float, zone: tzinfo) -> Picture:
    """The stored energy with its band, under the line of what fits in."""
    frame = course(history, prediction, zone)
    frame[f"{STORED}_high"] = frame[f"{STORED}_high"].clip(upper=capacity_kwh)
    x = time_axis(frame, zone)
    y = value_axis(STORED, "kWh")
    band = (
        alt.Chart(frame.dropna(subset=[f"{STORED}_low"]))
        .mark_area(color=GREEN, opacity=BAND_OPACITY)
        .encode(x=x, y=value_axis(f"{STORED}_low", "kWh"), y2=f"{STORED}_high:Q", detail="told:N")
    )
    line = (
        alt.Chart(frame)
        .mark_line(color=GREEN)
        .encode(
            x=x, y=y, strokeWidth=WIDTHS, detail="told:N",
            tooltip=[*tooltip((f"{STORED}:Q", "stored kWh")), WORDS[1]],
        )
    )  # fmt: skip
    level = level_line(capacity_kwh, f"full: {capacity_kwh:,.0f} kWh")
    return finished(band + line + level + _from_here_on(prediction), height=200)


def _from_here_on(prediction: Document) -> Picture:
    return rule_at(parsed(prediction["start"]), "expected")


def course_table(history: Document, prediction: Document, zone: tzinfo, shown: Sequence[str] = POWERS) -> pd.DataFrame:
    """Means of the hours, those to come after those that were."""
    names = {name: f"{name_of(name)} {'kWh' if name == STORED else 'kW'}" for name in shown}
    frame: Any = course(history, prediction, zone)
    parts = [hourly(frame[frame["told"] == told], names).assign(Is=told) for told in (ESTIMATED, PREDICTED)]
    return pd.concat(parts, ignore_index=True)


NODES = {"PV": (70, 62), "Homes": (350, 62), "Storage": (70, 258), "Grid": (350, 258)}
HUB = (210, 160)
RADIUS = 46


def flow_picture(flow: Flow) -> str:
    """An SVG of four places around the community's own wires; arrows are as wide as what flows is large."""
    powers = {"PV": (flow.pv_kw, ORANGE), "Homes": (-flow.demand_kw, BLACK), "Grid": (
        flow.grid_kw, BLUE if flow.grid_kw >= 0 else PURPLE)}  # fmt: skip
    if flow.storage_kw is not None:
        powers["Storage"] = (flow.storage_kw, GREEN)
    largest = max(*(abs(power) for power, _ in powers.values()), IDLE_KW)
    parts = [_wire(name, power / largest, colour) for name, (power, colour) in powers.items() if abs(power) >= IDLE_KW]
    parts += [f'<circle cx="{HUB[0]}" cy="{HUB[1]}" r="7" fill="#1c2a26"/>']
    parts += [_node(name, power, colour) for name, (power, colour) in powers.items()]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 8 420 304" width="440" height="318" '
        'font-family="Source Sans, Helvetica, Arial, sans-serif">' + "".join(parts) + "</svg>"
    )


def _wire(name: str, share: float, colour: str) -> str:
    """From a place to the middle, or back where the power flows there; an arrow head half-way says which."""
    (x, y), (hub_x, hub_y) = NODES[name], HUB
    width = 2 + (WIDEST - 2) * abs(share)
    middle_x, middle_y = (x + 2 * hub_x) / 3, (y + 2 * hub_y) / 3
    along_x, along_y = (hub_x - x, hub_y - y) if share > 0 else (x - hub_x, y - hub_y)
    length = (along_x**2 + along_y**2) ** 0.5
    unit_x, unit_y = along_x / length, along_y / length
    size = 8 + width / 2
    tip = f"{middle_x + size * unit_x:.1f},{middle_y + size * unit_y:.1f}"
    left = f"{middle_x - size * (unit_x - unit_y):.1f},{middle_y - size * (unit_y + unit_x):.1f}"
    right = f"{middle_x - size * (unit_x + unit_y):.1f},{middle_y - size * (unit_y - unit_x):.1f}"
    return (
        f'<line x1="{x}" y1="{y}" x2="{hub_x}" y2="{hub_y}" stroke="{colour}" stroke-width="{width:.1f}"/>'
        f'<polygon points="{tip} {left} {right}" fill="{colour}" stroke="#fff" stroke-width="1"/>'
    )


def _node(name: str, power: float, colour: str) -> str:
    x, y = NODES[name]
    doing = {"PV": "makes", "Homes": "use", "Storage": "gives" if power > 0 else "takes", "Grid": "gives"}[name]
    doing = "takes" if name == "Grid" and power < 0 else doing
    doing = "rests" if abs(power) < IDLE_KW else doing
    amount = "" if doing == "rests" else quantity(abs(power), "kW")
    stroke = colour if abs(power) >= IDLE_KW else GREY
    strong, light = 'font-size="15" font-weight="600" fill="#1c2a26"', 'font-size="13" fill="#3d4a45"'
    lines = ((y - 12, strong, name), (y + 6, light, doing), (y + 24, strong, amount))
    circle = f'<circle cx="{x}" cy="{y}" r="{RADIUS}" fill="#fff" stroke="{stroke}" stroke-width="3"/>'
    texts = (f'<text x="{x}" y="{at}" text-anchor="middle" {style}>{text}</text>' for at, style, text in lines)
    return circle + "".join(texts)
