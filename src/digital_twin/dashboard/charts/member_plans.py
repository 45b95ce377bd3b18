"""A plan for members as pictures: who charges when, what the sum makes of the connection, and one member's own day."""

from datetime import tzinfo

import altair as alt
import pandas as pd

from digital_twin.dashboard.charts.marks import (
    BLUE,
    DASHED,
    GREEN,
    SOLID,
    VERMILION,
    Picture,
    finished,
    level_line,
    named_scales,
    scales,
    time_axis,
    tooltip,
    value_axis,
)
from digital_twin.dashboard.frames import Document, hourly, intervals, long, with_last_edge

ACTIVE = {"charging_members": "charging", "discharging_members": "discharging"}
SUMS = {"net_kw": "By this plan", "rule_net_kw": "Everyone by their own rule"}
OWN = {"load_kw": "Demand", "pv_kw": "PV", "charge_kw": "Into storage", "discharge_kw": "From storage"}


def members_frame(plan: Document, zone: tzinfo) -> pd.DataFrame:
    """How many charge and discharge, and the sum at the connection, above zero where the community imports."""
    names = (*ACTIVE, "import_kw", "export_kw", "rule_import_kw", "rule_export_kw")
    frame = intervals(plan["start"], plan["resolution_minutes"], {name: plan[name] for name in names}, zone)
    frame["net_kw"] = frame["import_kw"] - frame["export_kw"]
    frame["rule_net_kw"] = frame["rule_import_kw"] - frame["rule_export_kw"]
    return frame


def activity_chart(plan: Document, zone: tzinfo) -> Picture:
    """How many members charge and discharge in each interval."""
    frame = with_last_edge(members_frame(plan, zone), plan["resolution_minutes"])
    looks = named_scales(list(ACTIVE.values()), [(GREEN, SOLID), (VERMILION, DASHED)])
    return finished(_lines(frame, zone, ACTIVE, looks, ("members", "members", "Doing")), height=220)


def connection_chart(plan: Document, limits_kw: tuple[float, float], zone: tzinfo) -> Picture:
    """The sum at the connection beside that of everyone's own rule, between the limits where these are near."""
    frame = with_last_edge(members_frame(plan, zone), plan["resolution_minutes"])
    looks = named_scales(list(SUMS.values()), [(BLUE, SOLID), (VERMILION, DASHED)])
    drawn: Picture = _lines(frame, zone, SUMS, looks, ("kW from the grid", "kW", "How"))
    highest, lowest = (float(frame[list(SUMS)].max().max()), float(frame[list(SUMS)].min().min()))
    if highest > limits_kw[0] / 2:
        drawn = drawn + level_line(limits_kw[0], f"import limit: {limits_kw[0]:,.0f} kW")
    if -lowest > limits_kw[1] / 2:
        drawn = drawn + level_line(-limits_kw[1], f"export limit: {limits_kw[1]:,.0f} kW")
    return finished(drawn)


def activity_table(plan: Document, zone: tzinfo) -> pd.DataFrame:
    """The numbers of both pictures by hour."""
    return hourly(members_frame(plan, zone), {**ACTIVE, **{name: f"{shown}, kW" for name, shown in SUMS.items()}})


def savings_frame(plan: Document) -> pd.DataFrame:
    """What the least, the middle and the most saving members save."""
    quantiles = plan["fairness"]["saved_quantiles"]
    names = {"0": "least", "0.1": "a tenth saves less", "0.5": "half save less", "0.9": "nine tenths save less"}
    rows = [(name, quantiles[level]) for level, name in (*names.items(), ("1", "most"))]
    return pd.DataFrame(rows, columns=["who", "saved"])


def own_frame(plan: Document, zone: tzinfo) -> pd.DataFrame:
    """One member's powers."""
    columns = {name: plan[name] for name in (*OWN, "soc_kwh")}
    return intervals(plan["start"], plan["resolution_minutes"], columns, zone)


def own_chart(plan: Document, zone: tzinfo) -> Picture:
    """What one member uses and generates, and what their storage does."""
    frame = with_last_edge(own_frame(plan, zone), plan["resolution_minutes"])
    return finished(_lines(frame, zone, OWN, scales(list(OWN.values())), ("kW", "kW", "What")))


def _lines(
    frame: pd.DataFrame,
    zone: tzinfo,
    names: dict[str, str],
    looks: tuple[alt.Color, alt.StrokeDash],
    words: tuple[str, str, str],
) -> alt.Chart:
    """A stepped line for each column; `words` are those of the axis, the unit and what the lines tell apart."""
    (colour, dash), (axis, unit, apart) = looks, words
    return (
        alt.Chart(long(frame, names))
        .mark_line(interpolate="step-after", strokeWidth=2.5)
        .encode(
            x=time_axis(frame, zone), y=value_axis("value", axis), color=colour, strokeDash=dash,
            tooltip=[*tooltip(("value:Q", unit)), alt.Tooltip("series:N", title=apart)],
        )
    )  # fmt: skip
