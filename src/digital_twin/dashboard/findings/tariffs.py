"""What a designed tariff says, in sentences."""

from datetime import tzinfo
from typing import Any

import numpy as np

from digital_twin.dashboard.charts.tariffs import PARTS, tariff_frame, welfare_frame
from digital_twin.dashboard.clock import local_hour, parsed
from digital_twin.dashboard.findings.forecasts import at
from digital_twin.dashboard.frames import TIME, Document
from digital_twin.dashboard.wording import is_known, listed, money, number, percent, price, quantity

SMALLEST_COIN = 0.005
CENT = 0.01
SMALLEST_PRICE = 5e-4
LIMITS = {
    "price_bounds.low": "The lowest price that is allowed is reached",
    "price_bounds.high": "The highest price that is allowed is reached",
    "incentive_budget": "The budget for incentives is spent",
    "revenue_floor": "Members must pay at least the revenue that was asked for",
    "no_member_worse_off": "What members use at present may cost none of them more",
    "max_price_step_per_kwh": "Neighbouring prices differ as much as they may",
    "grid_import_limit_kw": "The grid connection's limit for import is reached",
    "grid_export_limit_kw": "The grid connection's limit for export is reached",
}


def price_finding(tariff: Document, currency: str, zone: tzinfo) -> str:
    """Where the new prices lie, and where they differ most from today's."""
    known = tariff_frame(tariff, zone).dropna(subset=["import_price_per_kwh", "present_import"])
    if known.empty:
        return "There are no prices to compare."
    new, today = (known[name].to_numpy() for name in ("import_price_per_kwh", "present_import"))
    if np.abs(new - today).max() < SMALLEST_PRICE:
        return "The prices of today are already the best: the new ones are the same."
    low: Any = known.iloc[int(new.argmin())]
    high: Any = known.iloc[int(new.argmax())]
    return (
        f"The new price runs from {price(low['import_price_per_kwh'], currency)} "
        f"({at(float(low[TIME]), zone)}) to {price(high['import_price_per_kwh'], currency)} "
        f"({at(float(high[TIME]), zone)}), today's from {price(float(today.min()), currency)} "
        f"to {price(float(today.max()), currency)}."
    )


def demand_finding(tariff: Document, zone: tzinfo) -> str:
    """How demand answers."""
    hours = tariff["resolution_minutes"] / 60
    known = tariff_frame(tariff, zone).dropna(subset=["demand_before_kw", "demand_after_kw"])
    if known.empty:
        return "There is no demand to compare."
    before, after = (known[name].to_numpy() for name in ("demand_before_kw", "demand_after_kw"))
    moved_kwh = float(np.clip(after - before, 0, None).sum()) * hours
    change_kwh = float((after - before).sum()) * hours
    if float(np.abs(after - before).sum()) * hours < 1e-3 * max(1.0, float(before.sum()) * hours):
        return "Demand hardly changes."
    more_or_less = "more" if change_kwh >= 0 else "less"
    energy = f"{quantity(abs(change_kwh), 'kWh')} {more_or_less} is used in all"
    peak = f"the highest demand goes from {quantity(float(before.max()), 'kW')} to {quantity(float(after.max()), 'kW')}"
    return f"Demand grows by {quantity(moved_kwh, 'kWh')} where energy becomes cheaper; {energy}, and {peak}."


def elasticity_finding(tariff: Document) -> str:
    """What is known of how demand answers; nothing for tariffs that do not tell."""
    known: Document = tariff.get("elasticity") or {}
    if not is_known(known.get("own")):
        return ""
    percents = f"Where its price rises by 10 %, demand falls by {number(-10 * known['own'])} %"
    if known.get("source") == "readings":
        return f"{percents} (± {number(10 * known['own_standard_error'])} %), learned from {known['rests_on']}."
    if known.get("source") == "literature":
        return f"{percents}: the literature's mean, as the readings here do not tell."
    return f"{percents}, as was given."


def welfare_finding(tariff: Document, currency: str) -> str:
    """Who gains and who pays."""
    frame = welfare_frame(tariff)
    gains = {str(who): float(gain) for who, gain in zip(frame["who"], frame["gain"], strict=True)}
    change = (tariff.get("welfare") or {}).get("change")
    if not is_known(change):
        return "What the tariff does for all is not known."
    if all(abs(gain) < SMALLEST_COIN for gain in gains.values()):
        return "Nobody gains or loses: the present tariff is kept."
    parts = [(shown, gains[shown]) for shown in PARTS.values() if abs(gains.get(shown, 0.0)) >= SMALLEST_COIN]
    up = [f"{_inside(who)} {money(gain, currency)}" for who, gain in parts if gain > 0]
    down = [f"{_inside(who)} {money(-gain, currency)}" for who, gain in parts if gain < 0]
    sides = [f"gain: {listed(up)}" if up else "", f"lose: {listed(down)}" if down else ""]
    direction = "better" if change >= 0 else "worse"
    return (
        f"All together are {money(abs(change), currency)} {direction} off ({'; '.join(one for one in sides if one)})."
    )


def _inside(name: str) -> str:
    return name[:1].lower() + name[1:]


def budget_finding(tariff: Document, currency: str) -> str:
    """What the incentives cost, and whether more budget would help."""
    days: list[Document] = tariff.get("days") or []
    paid, budget = (sum(day[name] for day in days) for name in ("incentives_paid", "incentive_budget"))
    worth = tariff.get("budget_shadow_price")
    if not days or budget <= 0:
        return "There is no budget for incentives."
    spent = f"Incentives cost {money(paid, currency)} of {money(budget, currency)} ({percent(paid / budget)})"
    if is_known(worth) and worth >= SMALLEST_COIN:
        return f"{spent}; one more {currency} would better welfare by {money(worth, currency)}."
    return f"{spent}; more budget would not better the tariff."


def distribution_finding(tariff: Document, currency: str) -> str:
    """Members who are better and worse off."""
    told: Document = tariff.get("distribution") or {}
    change = told.get("surplus_change")
    if not is_known(change):
        return "Who gains is not known."
    if told.get("basis") != "members":
        return (
            f"The community's bill goes from {money(told.get('bill_before'), currency)} to "
            f"{money(told.get('bill_after'), currency)}. Who gains is told when members' meters report."
        )
    share = told.get("share_better_off")
    known = told.get("members_known", 0)
    better = (
        f"{percent(share)} of {known} members are better off" if share else f"None of {known} members is better off"
    )
    return (
        f"{better}; gains come to {money(told.get('gains'), currency)} and losses to "
        f"{money(told.get('losses'), currency)}."
    )


def binding_sentences(tariff: Document, currency: str, zone: tzinfo) -> list[str]:
    """What holds the tariff back."""
    sentences: list[str] = []
    for one in tariff.get("binding") or []:
        name = LIMITS.get(one["limit"], one["limit"].replace("_", " ").capitalize() + " is reached")
        first, count = one.get("first_interval"), one["intervals"]
        where = f" in {count} interval{'' if count == 1 else 's'}" if count else ""
        since = f", first on {local_hour(parsed(first), zone)}" if first else ""
        room, size = _room(one["limit"], currency)
        looser = f"; {room} is worth {number(one['value_per_unit'] * size)} {currency}"
        sentences.append(f"{name}{where}{since}{looser}.")
    return sentences


def _room(limit: str, currency: str) -> tuple[str, float]:
    """How much looser a limit is thought to be, in words and in its unit."""
    if "price" in limit:
        return "a cent more room", CENT
    if limit.startswith("grid_"):
        return "one kW more", 1.0
    return (f"one {currency} more a day" if limit == "incentive_budget" else f"one {currency} less"), 1.0


def certainty_finding(tariff: Document, currency: str) -> str:
    """Whether a better tariff can exist; nothing for tariffs that do not tell."""
    gap, today = tariff.get("gap"), (tariff.get("present_tariff") or {}).get("import_price_per_kwh")
    if not is_known(gap):
        return ""
    if tariff.get("status") == "optimal":
        return "It is proved that no tariff within these limits does better."
    energy_kwh = sum(tariff["demand_before_kw"]) * tariff["resolution_minutes"] / 60
    more = money(gap * energy_kwh * max(today or [0.0]), currency)
    return f"A better tariff may exist: it would gain at most {more} more."


CONFLICTS = {
    "price_bounds.low": "lower the lowest price by {}/kWh",
    "price_bounds.high": "raise the highest price by {}/kWh",
    "incentive_budget": "allow {} more for incentives a day",
    "revenue_floor": "ask for {} less revenue",
    "no_member_worse_off": "let what members use at present cost each of them up to {} more",
    "max_price_step_per_kwh": "let neighbouring prices differ by {}/kWh more",
    "price_unit_per_kwh": "round prices more finely than to {}/kWh",
}


def conflict_sentences(limits: list[Document], currency: str) -> list[str]:
    """What would make room for a tariff where there is none."""
    ways = []
    for one in limits:
        amount, is_power = one["relax_by"], one["limit"].startswith("grid_")
        told = quantity(amount, "kW") if is_power else f"{number(amount)} {currency}"
        way: str = "allow {} more at the grid connection" if is_power else CONFLICTS[one["limit"]]
        ways.append(way.format(told))
    if not ways:
        return []
    if all(one.get("alone") for one in limits):
        return [f"Any one of these would make room: {'; or '.join(ways)}."]
    return [f"Together these would make room: {'; and '.join(ways)}."]
