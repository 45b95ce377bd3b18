"""Numbers and names as people read them: sensible digits, the unit, the currency, and a word for what is missing."""

import math
from collections.abc import Sequence
from typing import TypeGuard

UNKNOWN = "unknown"
MOST = 1e300
SYMBOLS = {"EUR": "€", "GBP": "£", "USD": "$"}
DECIMALS = ((100.0, 0), (10.0, 1), (0.01, 2))
"""From this size on, so many decimals."""

NAMES = {
    "load_kw": "Demand",
    "demand_kw": "Demand",
    "pv_kw": "PV",
    "net_load_kw": "Net demand",
    "storage_soc_kwh": "Stored energy",
    "self_consumption_rule": "simple rule",
    "idle": "idle storage",
    "minimize_cost": "Lowest cost",
    "maximize_welfare": "Highest welfare",
    "minimize_emissions": "Lowest emissions",
    "minimize_peak": "Lowest peak",
    "maximize_self_consumption": "Most own use",
    "ridge_conformal": "Calibrated ridge",
    "standard_load": "Standard profile",
    "lstm": "LSTM",
    "pvwatts": "PVWatts",
}


def name_of(field: str) -> str:
    """A field's name on screen; its own words where no better ones are known."""
    known = NAMES.get(field)
    return known if known is not None else without_unit(field).replace("_", " ").strip().capitalize()


def spoken(field: str) -> str:
    """A field's name inside a sentence."""
    name = name_of(field)
    return name if name[:2].isupper() else name[:1].lower() + name[1:]


def without_unit(field: str) -> str:
    """A field's name without the unit it ends in."""
    for unit in ("_per_kwh", "_kwh", "_kw", "_kg"):
        if field.endswith(unit) and field != unit:
            return field.removesuffix(unit)
    return field


def is_known(value: float | None) -> TypeGuard[float]:
    """Whether there is a finite number."""
    return value is not None and math.isfinite(value)


def number(value: float | None) -> str:
    """As many decimals as its size gives a meaning; no minus before 0."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    decimals = next((count for least, count in DECIMALS if abs(value) >= least), 4)
    rounded = round(value, decimals) + 0.0
    return f"{rounded:,.0f}" if rounded == int(rounded) else f"{rounded:,.{decimals}f}"


def quantity(value: float | None, unit: str) -> str:
    """A number with its unit; of power and energy no more than hundredths, below which no meter knows them."""
    if not is_known(value):
        return UNKNOWN
    return f"{number(round(value, 2) if unit in ('kW', 'kWh') else value)} {unit}"


def money(value: float | None, currency: str) -> str:
    """An amount with two decimals below a thousand, none above."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    decimals = 2 if abs(value) < 1000 else 0
    rounded = round(value, decimals) + 0.0
    sign, amount = "-" if rounded < 0 else "", f"{abs(rounded):,.{decimals}f}"
    symbol = SYMBOLS.get(currency)
    return f"{sign}{symbol}{amount}" if symbol else f"{sign}{amount} {currency}"


def price(value: float | None, currency: str) -> str:
    """A price per kWh."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    amount, symbol = f"{abs(value):.3f}", SYMBOLS.get(currency)
    sign = "-" if value < 0 and float(amount) else ""
    return f"{sign}{symbol}{amount}/kWh" if symbol else f"{sign}{amount} {currency}/kWh"


def percent(fraction: float | None) -> str:
    """A fraction as a percentage; tenths only where a whole number would hide something."""
    if fraction is None or not math.isfinite(fraction):
        return UNKNOWN
    value = min(max(100 * fraction, -MOST), MOST)
    is_near_an_end = 0.05 <= value < 1 or 99 < value <= 99.95
    return f"{value:z.1f} %" if is_near_an_end else f"{value:z.0f} %"


def duration(seconds: float | None) -> str:
    """A span of time in the unit one would say it in."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    for length, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    return "less than a minute"


def listed(words: Sequence[str]) -> str:
    """One, two and three."""
    *first, last = words or ["nothing"]
    return f"{', '.join(first)} and {last}" if first else last


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    told = text[:1].upper() + text[1:]
    return told if told.endswith((".", "?", "!")) else f"{told}."
