"""Typical days as small pictures side by side, and what homes seem to have, as a table."""

from collections.abc import Mapping, Sequence

import altair as alt
import pandas as pd

from digital_twin.dashboard.charts.marks import Picture, finished, scales, value_axis
from digital_twin.dashboard.frames import Document
from digital_twin.dashboard.wording import number, percent

DEVICES = {"heat_pump": "Heat pump", "ev": "EV", "pv": "PV"}
WORKDAYS, DAYS_OFF = "Workdays", "Days off"
THAT_DAY, USUAL = "That day", "Usual"

_SMALL = 150
_HOURS = (0, 6, 12, 18, 24)


def day_chart(courses: Mapping[str, Sequence[float]], title: str) -> Picture:
    """Courses of a day, hour by hour, each drawn to the end of its last hour."""
    frame = pd.DataFrame(
        [
            {"hour": hour, "clock": f"{hour % 24:02d}:00", "series": name, "value": value}
            for name, values in courses.items()
            for hour, value in enumerate([*values, *values[-1:]])
        ],
        columns=["hour", "clock", "series", "value"],
    )
    colour, dash = scales(list(courses))
    axis = alt.Axis(title=None, values=list(_HOURS), labelExpr="datum.value + ':00'", labelBound=True, grid=True)
    lines = (
        alt.Chart(frame)
        .mark_line(interpolate="step-after", strokeWidth=2)
        .encode(
            x=alt.X("hour:Q", scale=alt.Scale(domain=[0, 24], nice=False), axis=axis),
            y=value_axis("value", title),
            color=colour,
            strokeDash=dash,
            tooltip=[
                alt.Tooltip("clock:N", title="From"),
                alt.Tooltip("series:N", title="On"),
                alt.Tooltip("value:Q", title=title, format=",.2f"),
            ],
        )
    )
    return finished(lines, height=_SMALL)


def courses_of(group: Document) -> dict[str, list[float]]:
    """Of a group: its workdays and its days off; once where they are the same."""
    if group["workday"] == group["day_off"]:
        return {WORKDAYS: group["workday"]}
    return {WORKDAYS: group["workday"], DAYS_OFF: group["day_off"]}


def groups_table(groups: Sequence[Document], counted: str) -> pd.DataFrame:
    """A row for each hour with a column for each group's workdays and days off."""
    columns = {"From": [f"{hour:02d}:00" for hour in range(24)]}
    for group in groups:
        for name, values in courses_of(group).items():
            columns[f"{group['name']} ({group['count']} {counted}), {name.lower()}"] = [number(one) for one in values]
    return pd.DataFrame(columns)


def homes_table(members: Document) -> pd.DataFrame:
    """Homes of a page with a pattern, the ones most surely with a device first."""
    known = [one for one in members["page"] if one["pattern"] is not None]
    surest = sorted(known, key=lambda one: -max(_probability(one["pattern"], name) for name in DEVICES))
    rows = [
        (
            one["member_id"],
            one["group"] or one["pattern"]["shape"],
            number(one["pattern"]["mean_kw"]),
            *(percent(_probability(one["pattern"], name)) for name in DEVICES),
        )
        for one in surest
    ]
    return pd.DataFrame(rows, columns=["Home", "Typical day", "Mean kW", *DEVICES.values()])


def unusual_table(unusual: Sequence[Document]) -> pd.DataFrame:
    """Unusual days, the farthest first."""
    rows = [(one["day"], one["because"], f"{one['distance']:.1f}") for one in unusual]
    return pd.DataFrame(rows, columns=["Day", "Why", "Deviations"])


def _probability(pattern: Document, device: str) -> float:
    return pattern["devices"][device]["probability"]
