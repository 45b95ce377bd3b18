"""A tariff problem in the terms of its program: scaled, by block and by cell."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.units import Array
from digital_twin.optimization.tariffs.accounting import incentives_by_day
from digital_twin.optimization.tariffs.demand_response import Indices
from digital_twin.optimization.tariffs.matrices import Matrices, Matrix, matrices_for
from digital_twin.optimization.tariffs.plan import TariffProblem

SMALLEST_BUDGET = 1e-6
"""Relative to the bill of the horizon; with less, discounts have no interior."""


@dataclass(frozen=True, slots=True)
class Scale:
    """One unit of the scaled problem."""

    energy_kwh: float
    price_per_kwh: float
    power_kw: float

    @property
    def money(self) -> float:
        return self.energy_kwh * self.price_per_kwh


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """The problem in cells (C of them) and blocks (K), scaled.

    A cell is what one price can tell apart: intervals of one block and local day with the same reference price.
    """

    problem: TariffProblem
    scale: Scale
    kind: Matrices
    day: Indices  # (C,)
    reference: Array  # (C,)
    to_block: Matrix  # (C, K) picks the price of each cell
    to_cell: Matrix  # (T, C) the cell of each interval
    slopes: Matrix  # (T, C) kW per currency/kWh
    bend: Matrix  # (C, C) Q: positive semidefinite
    energy: Array  # (C,) at the reference price
    limited_days: Indices  # those whose budget some prices within the bounds would overspend
    closed: Indices  # cells of days with nothing to spend: no discount at all

    @property
    def has_discounts(self) -> bool:
        return bool(self.limited_days.size)

    @property
    def order(self) -> Indices:
        """All variables such that those of one block lie side by side."""  # (K,) or (K + C,)
        blocks = np.arange(self.problem.calendar.blocks)
        of_cell = self.to_block @ blocks
        return np.argsort(np.append(blocks, of_cell), kind="stable") if self.has_discounts else blocks

    def wide(self, prices: Matrix, discounts: Matrix | None = None) -> Matrix:
        """Rows over all variables from those over prices and over discounts."""
        if not self.has_discounts:
            return prices
        if discounts is None:
            discounts = self.kind.zeros((prices.shape[0], self.day.size))
        return self.kind.beside([prices, discounts])

    def square(self, prices: Matrix, discounts: Matrix | None = None) -> Matrix:
        """Curvature over all variables."""
        if not self.has_discounts:
            return prices
        if discounts is None:
            discounts = self.kind.zeros((self.day.size, self.day.size))
        return self.kind.along_diagonal([prices, discounts])

    def vector(self, prices: Array, discounts: Array | None = None) -> Array:
        if not self.has_discounts:
            return prices
        return np.concatenate([prices, np.zeros(self.day.size) if discounts is None else discounts])


def parts_of(problem: TariffProblem, *, may_close: bool) -> Parts:
    """The parts; in plain matrices where there are few variables.

    Args:
        may_close: days with next to nothing to spend get no discounts, rather than a budget without an interior.
    """
    outlook, calendar, hours = problem.outlook, problem.calendar, problem.outlook.grid.step_hours
    reference = outlook.import_price_per_kwh
    scale = Scale(
        energy_kwh=float(hours * outlook.load_kw.sum()) or 1.0,
        price_per_kwh=float(np.abs(reference).max()) or 1.0,
        power_kw=float(outlook.load_kw.max()) or 1.0,
    )
    block, day, price, of_step = _cells(problem)
    kind = matrices_for(calendar.blocks + block.size)
    to_cell, to_block = _picks(kind, of_step, block.size), _picks(kind, block, calendar.blocks)
    slopes = problem.response.slopes @ to_cell
    energy = hours / scale.energy_kwh * (to_cell.T @ outlook.load_kw)
    limited = _may_overspend(problem)
    shut = limited & (problem.limits.incentive_budget < SMALLEST_BUDGET * scale.money) & may_close
    answers = (energy > 0) | (not problem.response.is_diagonal)
    return Parts(
        problem,
        scale,
        kind,
        day=day,
        reference=price / scale.price_per_kwh,
        to_block=to_block,
        to_cell=to_cell,
        slopes=slopes,
        bend=-hours * scale.price_per_kwh / scale.energy_kwh * (to_cell.T @ slopes),
        energy=energy,
        limited_days=np.flatnonzero(limited & ~shut),
        closed=np.flatnonzero(shut[day] & answers),
    )


def _cells(problem: TariffProblem) -> tuple[Indices, Indices, Array, Indices]:
    """Block, local day and reference price of each cell, and the cell of each interval."""  # (C,), (C,), (C,), (T,)
    calendar = problem.calendar
    prices, rank = np.unique(problem.outlook.import_price_per_kwh, return_inverse=True)
    name = (calendar.block * calendar.days + calendar.day) * prices.size + rank
    names, of_step = np.unique(name, return_inverse=True)
    of_both, of_price = np.divmod(names, prices.size)
    block, day = np.divmod(of_both, calendar.days)
    return block, day, prices[of_price], of_step


def _picks(kind: Matrices, column: Indices, columns: int) -> Matrix:
    """Rows that pick the column of each."""
    return kind.eye(columns)[column]


def _may_overspend(problem: TariffProblem) -> NDArray[np.bool_]:
    """The days whose discounts could cost more than their budget."""  # (D,)
    budget = problem.limits.incentive_budget
    if not problem.response.is_diagonal:
        return np.isfinite(budget)
    lowest = min(problem.limits.low_per_kwh, float(problem.outlook.import_price_per_kwh.min()))
    return incentives_by_day(problem, np.full(problem.outlook.grid.steps, lowest)) > budget
