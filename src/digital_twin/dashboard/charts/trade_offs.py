"""A trade-off as a picture: each point a plan, the cost up, the other aim along."""

import altair as alt
import pandas as pd

from digital_twin.dashboard.charts.marks import GREEN, Picture, finished
from digital_twin.dashboard.frames import Document

AIMS = {
    "emissions": ("Emissions", "kg of CO2"),
    "self_sufficiency": ("Energy from the grid", "kWh"),
    "peak": ("Highest import", "kW"),
}


LIMITS = {
    "capacity_kwh": "Battery capacity",
    "power_kw": "Battery power",
    "import_fuse_kw": "Fuse, inwards",
    "export_fuse_kw": "Fuse, outwards",
}


def most_valuable_frame(found: Document) -> pd.DataFrame:
    """The members for whom one more kWh or kW would save most."""
    rows = [
        (member["member_id"], LIMITS[one["limit"]], f"1 {one['unit']}", -member["objective_per_unit"])
        for one in found["members"]
        for member in one["most_valuable"]
    ]
    return pd.DataFrame(rows, columns=["Member", "Limit", "More", f"Would save {found['unit']}"]).round(4)


def trade_off_frame(found: Document) -> pd.DataFrame:
    """The points with their figures."""
    names = ("number", "measure", "cost", "price_per_unit", "emissions_kg", "peak_kw", "self_sufficiency")
    return pd.DataFrame([{name: point.get(name) for name in names} for point in found["points"]])


def trade_off_chart(found: Document, currency: str) -> Picture:
    """The curve of the best plans; nothing lies below and to the left of it."""
    frame = trade_off_frame(found)
    name, unit = AIMS[found["against"]]
    line = (
        alt.Chart(frame)
        .mark_line(color=GREEN, strokeWidth=2.5, point=alt.OverlayMarkDef(color=GREEN, size=70, filled=True))
        .encode(
            x=alt.X("measure:Q", title=f"{name}, {unit}", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5)),
            y=alt.Y("cost:Q", title=f"cost in {currency}", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5)),
            order=alt.Order("measure:Q"),
            tooltip=[
                alt.Tooltip("number:O", title="Plan"),
                alt.Tooltip("cost:Q", format=",.2f", title=f"cost {currency}"),
                alt.Tooltip("measure:Q", format=",.1f", title=unit),
                alt.Tooltip("price_per_unit:Q", format=",.3f", title=f"{currency} for one {unit.split()[0]} less"),
            ],
        )
    )
    return finished(line, height=300)


def trade_off_table(found: Document, currency: str) -> pd.DataFrame:
    """The same in rows."""
    shown = {
        "number": "Plan", "cost": f"Cost {currency}", "price_per_unit": f"{currency} for one unit less",
        "emissions_kg": "Emissions kg", "peak_kw": "Highest import kW", "self_sufficiency": "Own supply",
    }  # fmt: skip
    return pd.DataFrame({title: trade_off_frame(found)[name] for name, title in shown.items()}).round(3)
