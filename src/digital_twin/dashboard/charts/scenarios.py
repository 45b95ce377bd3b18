"""Scenarios beside each other as pictures: a small one for each figure, and what investments come to."""

from collections.abc import Sequence
from itertools import accumulate

import altair as alt
import pandas as pd

from digital_twin.dashboard.charts.marks import (
    BLACK,
    BLUE,
    GREY,
    LINES,
    Picture,
    finished,
    named_scales,
    value_axis,
)
from digital_twin.dashboard.frames import Document

AS_IS, TODAY = "as_is", "today"
"""The community as it is: the API's reference, and the scenario without changes that shows its figures."""

KPIS: dict[str, tuple[str, str, float]] = {
    "cost": ("Cost", "{currency}", 1.0),
    "self_sufficiency": ("Own supply", "%", 100.0),
    "self_consumption": ("Own use of PV", "%", 100.0),
    "emissions_kg": ("Emissions", "t CO2", 1e-3),
    "peak_import_kw": ("Highest import", "kW", 1.0),
    "imported_kwh": ("From the grid", "MWh", 1e-3),
}
"""Figure -> its name, its unit, and what turns the API's unit into it."""


def scenarios_of(result: Document) -> list[Document]:
    """The scenarios of a comparison, or the only one."""
    return result.get("scenarios", [result])


def title_of(scenario: Document) -> str:
    """Its name, or its id in plain words."""
    return scenario.get("name") or scenario["scenario_id"].replace("_", " ").capitalize()


def kpi_frame(result: Document, kpi: str) -> pd.DataFrame:
    """A row for each scenario: the mean with its confidence interval, and where nine of ten years lie."""
    factor = KPIS[kpi][2]
    rows: list[dict[str, object]] = []
    for scenario in scenarios_of(result):
        made: Document = (scenario.get("kpis") or {}).get(kpi) or {}
        quantiles: Document = made.get("quantiles") or {}
        numbers = {
            "mean": made.get("mean"), "low": made.get("low"), "high": made.get("high"),
            "q05": quantiles.get("0.05"), "q95": quantiles.get("0.95"),
        }  # fmt: skip
        rows.append({"scenario": title_of(scenario), **{name: _scaled(one, factor) for name, one in numbers.items()}})
    columns = dict.fromkeys(("mean", "low", "high", "q05", "q95"), "float64")
    return pd.DataFrame(rows, columns=["scenario", *columns]).astype(columns)


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def kpi_chart(result: Document, kpi: str, currency: str) -> Picture:
    """A dot for the mean, a bar for its interval, a thin line where nine of ten years lie."""
    frame = kpi_frame(result, kpi)
    unit = KPIS[kpi][1].format(currency=currency)
    y = alt.Y("scenario:N", title=None, sort=None, axis=alt.Axis(labelLimit=130, labelFontSize=12, ticks=False))
    told = alt.Chart(frame).encode(
        tooltip=[
            alt.Tooltip("scenario:N", title="Scenario"),
            *(alt.Tooltip(f"{name}:Q", format=",.2f") for name in ("mean", "low", "high", "q05", "q95")),
        ]
    )
    x = alt.X("q05:Q", title=unit, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=3, labelOverlap=True))
    years = told.mark_rule(color=GREY, strokeWidth=1.5).encode(x=x, x2="q95:Q", y=y)
    sure = told.mark_rule(color=BLUE, strokeWidth=7, opacity=0.45).encode(x="low:Q", x2="high:Q", y=y)
    means = told.mark_point(color=BLACK, filled=True, size=70, opacity=1).encode(x="mean:Q", y=y)
    return finished(years + sure + means, height=34 * max(1, len(frame)) + 20)


def kpi_table(result: Document, currency: str) -> pd.DataFrame:
    """Means with their intervals, a row for each figure and a column for each scenario."""
    columns: dict[str, list[str]] = {"Figure": []}
    for kpi, (name, unit, _) in KPIS.items():
        columns["Figure"].append(f"{name}, {unit.format(currency=currency)}")
        for _, row in kpi_frame(result, kpi).iterrows():
            text = f"{row['mean']:,.1f} ({row['low']:,.1f} to {row['high']:,.1f})"
            columns.setdefault(str(row["scenario"]), []).append(text)
    return pd.DataFrame(columns)


def ranking_frame(result: Document) -> pd.DataFrame:
    """Cheapest first: mean cost, in what part of the years a scenario is the cheapest, how sure its place is.

    The scenario without changes and the API's own reference are the same; they stand once.
    """
    names = {scenario["scenario_id"]: title_of(scenario) for scenario in scenarios_of(result)}
    ranks: Sequence[Document] = (result.get("comparison") or {}).get("ranking") or []
    shares = {one["scenario_id"]: one["share_best"] for one in ranks}
    rows = [
        (
            names.get(one["scenario_id"], "As it is today"),
            one["mean_cost"],
            shares.get(AS_IS, 0.0) if one["scenario_id"] == TODAY else one["share_best"],
            one.get("confidence"),
        )
        for one in ranks
        if not (one["scenario_id"] == AS_IS and TODAY in names)
    ]
    frame = pd.DataFrame(rows, columns=["scenario", "cost", "share_best", "confidence"])
    return frame.astype({"cost": "float64", "share_best": "float64", "confidence": "float64"})


def economics_of(result: Document) -> list[tuple[str, Document]]:
    """The scenarios that invest, each with what that comes to."""
    return [(title_of(one), one["economics"]) for one in scenarios_of(result) if one.get("economics")]


def cash_frame(result: Document) -> pd.DataFrame:
    """What each investment has come to after each year, at present worth."""
    rows = [
        (title, year, total)
        for title, economics in economics_of(result)
        for year, total in enumerate(accumulate(economics.get("discounted_cash_flows") or []))
    ]
    return pd.DataFrame(rows, columns=["scenario", "year", "total"]).astype({"year": "float64", "total": "float64"})


def cash_chart(result: Document, currency: str) -> Picture:
    """Lines that begin at the investment and cross zero when it has paid back."""
    frame = cash_frame(result).rename(columns={"scenario": "series"})
    titles = [title for title, _ in economics_of(result)]
    colour, dash = named_scales(titles, LINES)
    lines = (
        alt.Chart(frame)
        .mark_line(strokeWidth=2.5, point=alt.OverlayMarkDef(size=25))
        .encode(
            x=alt.X("year:Q", title="years", axis=alt.Axis(tickMinStep=1)),
            y=value_axis("total", currency),
            color=colour,
            strokeDash=dash,
            tooltip=[alt.Tooltip("series:N", title="scenario"), "year:Q", alt.Tooltip("total:Q", format=",.0f")],
        )
    )
    zero = alt.Chart(pd.DataFrame({"at": [0.0]})).mark_rule(color=GREY).encode(y="at:Q")
    return finished(lines + zero, height=260)
