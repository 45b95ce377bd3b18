"""Which limits hold a tariff back, which ones leave none, and what relaxing each would take."""

from typing import Any

import numpy as np
import scipy.sparse as sp

from digital_twin.domain.errors import Infeasible
from digital_twin.domain.units import Array
from digital_twin.optimization.plan import BindingLimit
from digital_twin.optimization.tariffs.convex_program import ConvexProgram, Optimum, QuadraticLimit, minimise
from digital_twin.optimization.tariffs.model import CLOSED, TariffModel

SIGNIFICANT = 1e-5
"""Of a scaled unit."""
_UNITS = {
    "revenue_floor": ("currency", "less"),
    "incentive_budget": ("currency per day", "more"),
    "price_bounds.low": ("currency/kWh", "less"),
    "price_bounds.high": ("currency/kWh", "more"),
    "max_price_step_per_kwh": ("currency/kWh", "more"),
    "no_member_worse_off": ("currency per member", "less"),
    "grid_import_limit_kw": ("kW", "more"),
    "grid_export_limit_kw": ("kW", "more"),
}


def binding_limits(model: TariffModel, optimum: Optimum) -> tuple[BindingLimit, ...]:
    """The limits with a price: one more unit of each raises welfare by `value_per_unit`."""
    found, first, problem = [], 0, model.parts.problem
    grid, budget_price = problem.outlook.grid, prices_of_budgets(model, optimum)
    for limit in model.linear:
        prices = optimum.prices[first : first + limit.limits.size]
        first += limit.limits.size
        held = np.flatnonzero(prices > SIGNIFICANT)
        if limit.name in _UNITS and held.size:
            intervals = np.unique(np.concatenate([limit.intervals[row] for row in held]))
            worth = float(prices[held].sum()) * model.scale.money / limit.unit
            found.append(BindingLimit(limit.name, intervals.size, grid.instant(int(intervals[0])), worth))
    if (spent := np.flatnonzero(budget_price > SIGNIFICANT)).size:
        intervals = np.flatnonzero(np.isin(problem.calendar.day, spent))
        worth = float(budget_price[spent].sum())
        found.append(BindingLimit("incentive_budget", intervals.size, grid.instant(int(intervals[0])), worth))
    if (price := price_of_floor(model, optimum)) > SIGNIFICANT:
        found.append(BindingLimit("revenue_floor", grid.steps, grid.instant(0), price))
    return tuple(found)


def prices_of_budgets(model: TariffModel, optimum: Optimum) -> Array:
    """What one more to spend on each local day is worth; on a day with nothing to spend, the first of it."""  # (D,)
    found, first = np.zeros(model.parts.problem.calendar.days), 0
    for one, price in zip(model.bent, optimum.quadratic_prices, strict=True):
        if one.day is not None:
            found[one.day] = price
    for limit in model.linear:
        prices = optimum.prices[first : first + limit.limits.size]
        first += limit.limits.size
        if limit.name == CLOSED:
            cells, energy = model.parts.closed, model.parts.energy[model.parts.closed]
            is_held = (prices > SIGNIFICANT) & (energy > 0)
            worth = np.divide(prices, energy, out=np.zeros_like(prices), where=is_held)
            np.maximum.at(found, model.parts.day[cells], worth)
    return found


def price_of_floor(model: TariffModel, optimum: Optimum) -> float:
    """What one less of the revenue that is asked for is worth."""
    prices = zip(model.bent, optimum.quadratic_prices, strict=True)
    return sum(float(price) for one, price in prices if one.day is None)


def explain_no_tariff(model: TariffModel) -> Infeasible | None:
    """The error that names the limits in conflict, each relaxed alone, else all together; None if nothing conflicts.

    The facts list `limits` as {limit, relax_by, unit, alone}.
    """
    named = {one.name for one in (*model.linear, *model.bent)}
    names = [name for name in _UNITS if name in named]
    together = _least_relaxation(model, names)
    if together is not None and max(together.values()) <= SIGNIFICANT:
        return None
    alone = {name: found[name] for name in names if (found := _least_relaxation(model, [name])) is not None}
    suffices = {name: amount for name, amount in alone.items() if amount > SIGNIFICANT}
    chosen = suffices or {name: amount for name, amount in (together or {}).items() if amount > SIGNIFICANT}
    amounts = {name: amount * _unit(model, name) for name, amount in chosen.items()}
    sentences = [f"{amount:.6g} {_UNITS[name][0]} {_UNITS[name][1]} of {name}" for name, amount in amounts.items()]
    words = (" or " if suffices else " and ").join(sentences)
    limits: list[dict[str, Any]] = [
        {"limit": name, "relax_by": round(amount, 6), "unit": _UNITS[name][0], "alone": bool(suffices)}
        for name, amount in amounts.items()
    ]
    return Infeasible(f"no tariff respects every limit; it would take {words}", limits=limits)


def _unit(model: TariffModel, name: str) -> float:
    return next((one.unit for one in model.linear if one.name == name), model.scale.money)


def _least_relaxation(model: TariffModel, names: list[str]) -> dict[str, float] | None:
    """The smallest sum of uniform relaxations of these limits that admits prices; None when none does."""
    size, extra = model.slope.size, len(names)
    column = {name: size + index for index, name in enumerate(names)}

    def relaxing(rows: int, name: str | None) -> sp.csr_array:
        made = sp.lil_array((rows, extra))
        if name in names:
            made[:, [names.index(name)]] = -1.0
        return made.tocsr()

    matrix = [sp.hstack([sp.csr_array(one.matrix), relaxing(one.limits.size, one.name)]) for one in model.linear]
    matrix.append(sp.hstack([sp.csr_array((extra, size)), -sp.eye_array(extra)]))
    quadratic = []
    for one in model.bent:
        slope = np.append(one.constraint.slope, np.zeros(extra))
        if one.name in column:
            slope[column[one.name]] = -1.0
        curvature = sp.csr_array(sp.block_diag([sp.csr_array(one.constraint.curvature), sp.csr_array((extra, extra))]))
        quadratic.append(QuadraticLimit(curvature, slope, one.constraint.limit))
    program = ConvexProgram(
        sp.csr_array(1e-9 * sp.eye_array(size + extra)),
        np.append(np.zeros(size), np.ones(extra)),
        sp.csr_array(sp.vstack(matrix)),
        np.concatenate([*(one.limits for one in model.linear), np.zeros(extra)]),
        tuple(quadratic),
        np.append(model.parts.order, np.arange(size, size + extra)),
    )
    found = minimise(program, np.append(model.start, np.ones(extra)))
    return None if found is None else {name: float(found.x[column[name]]) for name in names}
