"""What a forecast says, in a sentence."""

import re
from datetime import datetime, timedelta, tzinfo
from typing import Any

import pandas as pd

from digital_twin.dashboard.clock import local_hour
from digital_twin.dashboard.frames import TIME, Document
from digital_twin.dashboard.wording import is_known, listed, name_of, number, percent, quantity, spoken

UTC_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def forecast_finding(forecast: Document, variable: str, frame: pd.DataFrame, zone: tzinfo) -> str:
    """When the variable is highest, how sure that is, and how much energy it comes to."""
    known = frame.dropna(subset=["mean"])
    if known.empty:
        return f"There is no forecast of {spoken(variable)} for this time."
    hours = forecast["resolution_minutes"] / 60
    energy_kwh = float(known["mean"].sum() * hours)
    span = quantity(len(known) * hours, "hours")
    top: Any = known.loc[known["mean"].idxmax()]
    if variable == "pv_kw" and top["mean"] <= 0:
        return f"No sun is expected in these {span}."
    subject = "What the grid and the storage must give" if variable == "net_load_kw" else name_of(variable)
    peak = f"{subject} is highest on {at(float(top[TIME]), zone)}, at {number(top['mean'])} kW"
    return f"{peak}{_certainty(top, forecast)}. {_total(variable, energy_kwh, span)}"


def _certainty(row: Any, forecast: Document) -> str:
    lower, upper = row.get("lower"), row.get("upper")
    if not is_known(lower) or not is_known(upper):
        return ""
    sure = percent(forecast.get("confidence_level"))
    return f" ({sure} sure: between {number(lower)} and {number(upper)} kW)"


def _total(variable: str, energy_kwh: float, span: str) -> str:
    if variable != "net_load_kw":
        return f"It comes to {quantity(energy_kwh, 'kWh')} in {span}."
    if energy_kwh < 0:
        return f"Over {span} the community makes {quantity(-energy_kwh, 'kWh')} more than it needs."
    return f"Over {span} the community needs {quantity(energy_kwh, 'kWh')} more than it makes."


def at(time_ms: float, zone: tzinfo) -> str:
    """An instant of a frame, as a sentence says it."""
    return local_hour(UTC_EPOCH + timedelta(milliseconds=time_ms), zone)


def answers(label: str) -> list[str]:
    """The models that a forecast names: two where one variable follows from two others."""
    return [part.partition(",")[0] for part in re.split(r" [-+] ", label)]


def models_sentence(forecast: Document) -> str:
    """Which models made it."""
    models: dict[str, str] = forecast.get("models") or {}
    parts = [
        f"{spoken(variable)} by {' and '.join(name_of(one) for one in answers(label))}"
        for variable, label in models.items()
    ]
    return f"Forecast: {listed(parts)}." if parts else "The models are not named."
