"""Limits and actions in words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from digital_twin.domain.time import TimeGrid
from digital_twin.optimization.explanation.limit_values import WORTH_TELLING, LimitValue, Side
from digital_twin.optimization.explanation.reasons import Action
from digital_twin.optimization.plan import Weights

_NAMES = {
    "grid_import_limit_kw": "import limit",
    "grid_export_limit_kw": "export limit",
    "max_storage_power_kw": "storage power",
    "total_storage_capacity_kwh": "storage capacity",
    "final_soc_min_kwh": "energy to be left at the end",
    "storage_reserve_kwh": "storage reserve",
    "power_kw": "power",
    "capacity_kwh": "capacity",
    "reserve_kwh": "reserve",
    "departure_soc_min_kwh": "energy at departure",
}


@dataclass(frozen=True, slots=True)
class Wording:
    """What times and amounts are told in."""

    grid: TimeGrid
    zone: tzinfo
    unit: str

    def time(self, step: int) -> str:
        """Local time of day where an interval begins, with the day where the horizon has several."""
        at: datetime = self.grid.instant(step).astimezone(self.zone)
        spans_days = self.grid.steps * self.grid.step_hours > 24
        return at.strftime("%d %b %H:%M" if spans_days else "%H:%M")

    def times(self, steps: Sequence[int]) -> str:
        """When something is so: of several intervals the first."""
        if len(steps) == 1:
            return f"at {self.time(steps[0])}"
        return f"in {len(steps)} intervals, first at {self.time(steps[0])}"

    def sum_of(self, value: float) -> str:
        """An amount of the objective: to the cent, or with two digits where it is less than ten of them."""
        digits = 2 if abs(value) >= 0.1 or value == 0 else 1 - math.floor(math.log10(abs(value)))
        return f"{value:.{min(digits, 6)}f} {self.unit}"

    @property
    def per_horizon(self) -> str:
        hours = self.grid.steps * self.grid.step_hours
        return "a day" if hours == 24 else f"over {hours:g} hours"


def objective_unit(weights: Weights, currency: str) -> str:
    """What one unit of the objective is."""
    if weights.cost and not (weights.peak or weights.exported):
        return currency if weights.cost == 1.0 else "of the weighted sum"
    counted = [name for name in ("emissions", "peak", "exported") if getattr(weights, name)]
    units = {"emissions": "kg CO2", "peak": "kW of peak", "exported": "kWh exported"}
    if not weights.cost and len(counted) == 1 and getattr(weights, counted[0]) == 1.0:
        return units[counted[0]]
    return "of the weighted sum"


def limit_name(limit: str) -> str:
    """`devices.car.power_kw` is the power of car."""
    parts = limit.split(".")
    if parts[0] != "devices":
        return _NAMES.get(limit, limit)
    return f"{_NAMES.get(parts[-1], parts[-1])} of {'.'.join(parts[1:-1])}"


def limit_text(value: LimitValue, wording: Wording) -> str:
    """Where it holds the plan back, and what a round step either way would change."""
    where = f" {wording.times(value.intervals)}" if value.intervals else ""
    if value.limit == "final_soc_min_kwh" and value.value == 0:
        to_leave = _side_text(value.more, "to be left then", value, wording)
        return f"The storage ends empty; {to_leave} {wording.per_horizon}." if to_leave else "The storage ends empty."
    start = f"The {limit_name(value.limit)} of {amount(value.value)} {value.unit} holds the plan back{where}"
    sides = [_side_text(side, word, value, wording) for side, word in ((value.more, "more"), (value.less, "less"))]
    told = [side for side in sides if side]
    return f"{start}. {'; '.join([f'{told[0]} {wording.per_horizon}', *told[1:]])}." if told else f"{start}."


def _side_text(side: Side | None, direction: str, value: LimitValue, wording: Wording) -> str:
    """Nothing where nothing would change, or it is not known."""
    if side is None or math.isnan(side.per_unit) or abs(side.per_unit) <= WORTH_TELLING:
        return ""
    step = 10.0 ** math.floor(math.log10(side.reach) + 1e-9)
    step = min(step, 10.0 ** math.floor(math.log10(value.value) + 1e-9)) if value.value > 0 else step
    change = step * side.per_unit
    verb = "save" if change < 0 else "cost"
    return f"{amount(step)} {value.unit} {direction} would {verb} {wording.sum_of(abs(change))}"


def action_text(action: Action, wording: Wording) -> str:
    """What is done when, and why."""
    start, end = wording.time(action.first), wording.time(action.end)
    energy = f"{amount(action.energy_kwh)} kWh"
    who = action.device_id or ("generation" if action.deed == "curtails" else "storage")
    when = f"{start} to {end}"
    if action.price is None:
        return f"{when}: {who} {action.deed} {energy}."
    price, worth, unit = money(action.price), money(action.worth or 0.0), wording.unit
    match action.deed:
        case "charges":
            reason = f"a kWh costs {price} {unit} then and is worth {worth} later"
        case "discharges":
            reason = f"a kWh saves {price} {unit} then and would be worth {worth} if kept"
        case "takes":
            reason = f"a kWh costs {price} {unit} then, {worth} on average when it may run"
        case "curtails":
            return f"{when}: {energy} of {who} is curtailed; one more kWh on site would be worth {price} {unit}."
    full = "; it uses its full power" if action.is_full_power else ""
    return f"{when}: {who} {action.deed} {energy}: {reason}{full}."


def amount(value: float) -> str:
    """Three significant digits, without exponents: 0.0123, 5.48, 1230."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def money(value: float) -> str:
    """At least cents; more where the amount is smaller than ten of them."""
    if abs(value) < 5e-5:
        return "0.00"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.{max(2, 2 - math.floor(math.log10(abs(value))))}f}"
