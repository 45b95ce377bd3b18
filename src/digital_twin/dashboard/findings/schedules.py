"""What a dispatch plan says, in sentences."""

from datetime import tzinfo
from typing import Any

import numpy as np
import pandas as pd

from digital_twin.dashboard.clock import local_hour, parsed
from digital_twin.dashboard.findings.forecasts import at
from digital_twin.dashboard.frames import TIME, Document
from digital_twin.dashboard.wording import is_known, listed, money, number, percent, price, quantity

LIMITS = {
    "grid_import_limit_kw": ("The grid connection's limit for import", "one kW more"),
    "grid_export_limit_kw": ("The grid connection's limit for export", "one kW more"),
    "max_storage_power_kw": ("The power of the storage", "one kW more"),
    "total_storage_capacity_kwh": ("The capacity of the storage", "one kWh more"),
    "storage_reserve_kwh": ("The reserve of the storage", "one kWh less"),
    "final_soc_min_kwh": ("The energy that must be left in the storage at the end", "one kWh less"),
}
"""Limit -> its name, and what would loosen it."""
PRICES = ("import_price_per_kwh", "export_price_per_kwh")
WORTH_NAMING = 5e-4
SMALLEST_COIN = 0.005
BASELINES = {
    "self_consumption_rule": "the simple rule (charge surplus, discharge deficit)",
    "idle": "leaving the storage idle",
}


def supply_finding(schedule: Document, frame: pd.DataFrame) -> str:
    """How the demand is met."""
    hours = schedule["resolution_minutes"] / 60
    load, imported = (float(np.nansum(frame[name].to_numpy())) * hours for name in ("load_kw", "import_kw"))
    if load <= 0:
        return "There is no demand to meet."
    own = schedule.get("self_sufficiency")
    peak = quantity(schedule.get("peak_kw"), "kW")
    start = f"The community meets {percent(own)} of its {quantity(load, 'kWh')} itself"
    if imported <= 0:
        return f"{start} and takes nothing from the grid."
    return f"{start}; {quantity(imported, 'kWh')} come from the grid, at most {peak} at once."


def storage_finding(frame: pd.DataFrame, capacity_kwh: float | None, zone: tzinfo) -> str:
    """When the storage is fullest and emptiest."""
    known = frame.dropna(subset=["soc_kwh"])
    if known.empty or not capacity_kwh:
        return "There is no storage to plan."
    top: Any = known.loc[known["soc_kwh"].idxmax()]
    low: Any = known.loc[known["soc_kwh"].idxmin()]
    if top["soc_kwh"] - low["soc_kwh"] < 0.01 * capacity_kwh:
        return f"The storage rests at {percent(top['soc_kwh'] / capacity_kwh)} of its capacity."
    return (
        f"The storage is fullest on {at(float(top[TIME]), zone)} ({percent(top['soc_kwh'] / capacity_kwh)}) "
        f"and emptiest on {at(float(low[TIME]), zone)} ({percent(low['soc_kwh'] / capacity_kwh)})."
    )


def price_finding(frame: pd.DataFrame, currency: str, zone: tzinfo) -> str:
    """When energy is cheap and dear."""
    known = frame.dropna(subset=["import_price_per_kwh"])
    if known.empty:
        return "No price is known."
    prices = known["import_price_per_kwh"].to_numpy()
    if np.ptp(prices) < WORTH_NAMING:
        paid, earned = (price(float(np.nanmean(known[name].to_numpy())), currency) for name in PRICES)
        return f"A kWh costs {paid} at all times and earns {earned}."
    low: Any = known.iloc[int(prices.argmin())]
    high: Any = known.iloc[int(prices.argmax())]
    return (
        f"Energy is cheapest from {at(float(low[TIME]), zone)} ({price(low['import_price_per_kwh'], currency)}) "
        f"and dearest from {at(float(high[TIME]), zone)} ({price(high['import_price_per_kwh'], currency)})."
    )


def savings_finding(schedule: Document, currency: str) -> str:
    """What the plan saves, against what."""
    cost = schedule.get("cost")
    baselines: Document = (schedule.get("savings") or {}).get("baselines") or {}
    does = "earns" if is_known(cost) and cost < 0 else "costs"
    start = f"The plan {does} {money(abs(cost) if is_known(cost) else None, currency)}"
    if not baselines:
        return f"{start}. No simple way keeps within the limits, so there is nothing to compare it with."
    parts = [difference(one["saved"], BASELINES.get(name, name), currency) for name, one in baselines.items()]
    return f"{start}: {listed(parts)}."


def difference(saved: float | None, baseline: str, currency: str) -> str:
    """How much less was paid than in another way."""
    if not is_known(saved):
        return f"not comparable with {baseline}"
    if abs(saved) < SMALLEST_COIN:
        return f"as much as {baseline}"
    return f"{money(abs(saved), currency)} {'less' if saved > 0 else 'more'} than {baseline}"


def binding_sentences(schedule: Document, currency: str, zone: tzinfo) -> list[str]:
    """What holds the plan back, and what loosening it would be worth."""
    is_money = schedule.get("objective") in ("minimize_cost", "maximize_welfare")
    return [_binding(one, currency if is_money else None, zone) for one in schedule.get("binding") or []]


def _binding(limit: Document, currency: str | None, zone: tzinfo) -> str:
    name, looser = LIMITS.get(limit["limit"], (limit["limit"].replace("_", " ").capitalize(), "one unit more"))
    first, count = limit.get("first_interval"), limit["intervals"]
    times = "" if count == 1 else f" in {count} intervals,"
    since = f" {'on' if count == 1 else 'first on'} {local_hour(parsed(first), zone)}" if first else ""
    worth = limit["value_per_unit"]
    value = f"would save {money(worth, currency)}" if currency else f"would better the aim by {number(worth)}"
    return f"{name} holds the plan back{times}{since}; {looser} {value}."


def certainty_sentence(schedule: Document) -> str:
    """How good the plan is known to be."""
    if schedule.get("status") == "optimal":
        return "No better plan exists for these inputs; an independent check found every limit kept."
    return f"The plan keeps every limit; a better one could be at most {percent(schedule.get('gap'))} better."
