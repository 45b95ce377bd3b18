"""The tariff that maximises welfare under an incentive budget: solved, brought inside the budget exactly, checked."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.errors import TwinError
from digital_twin.domain.units import Array
from digital_twin.optimization.tariffs.accounting import (
    broken_limits,
    incentives_by_day,
    tariff_figures,
)
from digital_twin.optimization.tariffs.by_day import best_by_day
from digital_twin.optimization.tariffs.certificate import bound_of_welfare
from digital_twin.optimization.tariffs.convex_program import Optimum, minimise
from digital_twin.optimization.tariffs.limits import SIGNIFICANT, binding_limits, explain_no_tariff, prices_of_budgets
from digital_twin.optimization.tariffs.model import TariffModel, build_tariff
from digital_twin.optimization.tariffs.plan import PriceCalendar, Settled, TariffDesign, TariffProblem
from digital_twin.optimization.tariffs.units import in_whole_units

MOST_CONVEX_STEPS = 30
NO_GAIN = 1e-10
"""Of welfare: where convex-concave steps end."""
NEARBY = 1e-7
"""Of the highest reference price: a price so near to a bound or to the reference is there."""
GAP = 1e-6
STEADIER = (1e-8, 1e-6)
SOLVER = "primal-dual interior point"


class TariffRefused(TwinError):
    """A fault of ours: the prices did not pass the independent check, so nobody gets them."""

    kind = "tariff-refused"


def design_tariff(problem: TariffProblem) -> TariffDesign:
    """The import prices that maximise weighted welfare within bounds, budget, revenue floor and the connection.

    With slopes on their own interval alone this is the optimum. With cross elasticities the incentive is not convex:
    the prices come from convex-concave steps, and are `optimal` where duality proves it (`certificate.py`), `feasible`
    with a gap elsewhere. Prices in whole units are the best that exchanges of units find, with what is proved to be
    lost by them at most.

    Raises:
        Infeasible: no prices respect the limits; the facts name those in conflict and what relaxing each would take.
        TariffRefused: the independent check found a fault.
    """
    problem = _with_one_price(problem)
    found = best_by_day(problem) or _by_program(problem)
    prices = within_budget(problem, found.price_per_kwh)
    if problem.limits.price_unit_per_kwh is not None:
        prices = in_whole_units(problem, prices, problem.limits.price_unit_per_kwh)
    figures = tariff_figures(problem, prices[problem.calendar.block])
    broken = broken_limits(problem, figures)
    if broken:
        raise TariffRefused(
            f"the tariff failed the independent check of {', '.join(broken)}; please report the request"
        )
    welfare = figures.change.weighted(problem.weights)
    gap = max(0.0, (found.bound - welfare) / stake(problem))
    return TariffDesign(
        figures=figures,
        welfare_change=welfare,
        budget_shadow_price=found.budget_price,
        gap=gap,
        status="optimal" if gap <= GAP else "feasible",
        solver=found.solver,
        binding=found.binding,
        notes=_notes(problem, gap),
    )


def stake(problem: TariffProblem) -> float:
    """The bill at the highest reference price, of which gaps are shares."""
    outlook = problem.outlook
    energy_kwh = outlook.grid.step_hours * float(outlook.load_kw.sum())
    return (energy_kwh or 1.0) * (float(np.abs(outlook.import_price_per_kwh).max()) or 1.0)


def _with_one_price(problem: TariffProblem) -> TariffProblem:
    """Blocks whose prices may not differ are one block."""
    if problem.limits.max_step_per_kwh != 0:
        return problem
    flat = PriceCalendar(np.zeros_like(problem.calendar.block), problem.calendar.day)
    return replace(problem, calendar=flat)


@dataclass(frozen=True, slots=True, eq=False)
class _Solved:
    """A program with its optimum."""

    model: TariffModel
    optimum: Optimum
    prices: Array  # (K,)

    @classmethod
    def at(cls, model: TariffModel, optimum: Optimum) -> "_Solved":
        problem = model.parts.problem
        scaled = optimum.x[: problem.calendar.blocks] * model.scale.price_per_kwh
        return cls(model, optimum, _rounded(problem, scaled))

    @property
    def bound(self) -> float:
        """On the weighted change of welfare of any tariff; infinity where nothing is proved."""
        return bound_of_welfare(self.model, self.optimum, self.prices)


def _by_program(problem: TariffProblem) -> Settled:
    """The prices of the convex program, of as many as it takes. Raises Infeasible."""
    is_convex = problem.response.is_diagonal or not np.isfinite(problem.limits.incentive_budget).any()
    solved = [_solved(problem)] if is_convex else _with_cross_elasticities(problem)
    best = solved[0]
    budget_price = prices_of_budgets(best.model, best.optimum)
    return Settled(
        best.prices,
        np.where(budget_price > SIGNIFICANT, budget_price, 0.0),
        min(one.bound for one in solved),
        SOLVER if is_convex else f"{SOLVER}, convex-concave steps",
        binding_limits(best.model, best.optimum),
    )


def _with_cross_elasticities(problem: TariffProblem) -> list[_Solved]:
    """The best tariff that convex-concave steps find, and the one without budgets, which bounds it."""
    block, budget = problem.calendar.block, problem.limits.incentive_budget
    free = _solved(replace(problem, limits=replace(problem.limits, incentive_budget=np.full(budget.size, np.inf))))
    if (incentives_by_day(problem, free.prices[block]) <= budget).all():
        return [free]
    nowhere = np.full(problem.calendar.blocks, -np.inf)
    found = [_convex_steps(problem, start) for start in (free.prices, nowhere)]
    solved = [one for one in found if one is not None]
    if not solved:
        raise _conflict(problem, _around(problem, nowhere))
    return [
        max(solved, key=lambda one: tariff_figures(problem, one.prices[block]).change.weighted(problem.weights)),
        free,
    ]


def _convex_steps(problem: TariffProblem, prices: Array) -> _Solved | None:
    """The best prices of the convex-concave steps that begin at these prices without their discounts."""
    best, least = None, np.inf
    around = _around(problem, prices)
    for _ in range(MOST_CONVEX_STEPS):
        model = build_tariff(problem, around)
        optimum = _minimised(model)
        value = np.inf if optimum is None else model.objective(optimum.x)
        if optimum is None or value > least - NO_GAIN * abs(least):
            break
        best, least = _Solved.at(model, optimum), value
        around = best.prices[problem.calendar.block] - problem.outlook.import_price_per_kwh
    return best


def _minimised(model: TariffModel) -> Optimum | None:
    """The optimum; where discounts that cost next to nothing drift, a hardly steeper program holds them."""
    for steadiness in (0.0, *STEADIER):
        found = minimise(model.program(steadiness), model.start)
        if found is not None:
            return found
    return None


def _around(problem: TariffProblem, prices: Array) -> Array:
    """The change of price in each interval when no block is cheaper than its highest reference price."""  # (T,)
    reference, block = problem.outlook.import_price_per_kwh, problem.calendar.block
    raised = prices.copy()
    np.maximum.at(raised, block, reference)
    return np.clip(raised, problem.limits.low_per_kwh, problem.limits.high_per_kwh)[block] - reference


def _solved(problem: TariffProblem) -> _Solved:
    """Raises Infeasible."""
    model = build_tariff(problem)
    optimum = _minimised(model)
    if optimum is None:
        raise _conflict(problem, None)
    return _Solved.at(model, optimum)


def _conflict(problem: TariffProblem, around: Array | None) -> TwinError:
    conflict = explain_no_tariff(build_tariff(problem, around, may_close=False))
    return conflict or TariffRefused("the solver did not settle on prices; please report the request")


def _rounded(problem: TariffProblem, prices: Array) -> Array:
    """Prices within the solver's tolerance of a bound or of the reference price are there."""
    block, reference = problem.calendar.block, problem.outlook.import_price_per_kwh
    highest, lowest = np.full(prices.size, -np.inf), np.full(prices.size, np.inf)
    np.maximum.at(highest, block, reference)
    np.minimum.at(lowest, block, reference)
    near = NEARBY * float(np.abs(reference).max())
    for target in (highest, lowest, problem.limits.low_per_kwh, problem.limits.high_per_kwh):
        prices = np.where(np.abs(prices - target) < near, target, prices)
    return np.clip(prices, problem.limits.low_per_kwh, problem.limits.high_per_kwh)


def within_budget(problem: TariffProblem, prices: Array) -> Array:
    """Prices whose incentives, evaluated exactly, stay within the budget of every local day.

    The solver may spend its tolerance too much. Then the discounts of the days concerned are scaled down by the least
    share that suffices: scaled to nothing they cost nothing, and what they cost changes continuously in between.

    Raises:
        TariffRefused: even without any discount that the bounds let go of, a budget is overspent.
    """  # (K,)
    budget, block = problem.limits.incentive_budget, problem.calendar.block
    over = incentives_by_day(problem, prices[block]) > budget
    if not over.any():
        return prices
    undiscounted = _without_discounts(problem, prices, over)
    while (others := (incentives_by_day(problem, undiscounted[block]) > budget) & ~over).any():
        over |= others  # to whose hours demand has shifted
        undiscounted = _without_discounts(problem, prices, over)

    def scaled(share: float) -> Array:
        # exactly undiscounted at 1: rounding alone can overspend a budget of nothing
        return np.where(undiscounted > prices, (1 - share) * prices + share * undiscounted, prices)

    def overspends(share: float) -> bool:
        return bool((incentives_by_day(problem, scaled(share)[block]) > budget).any())

    if overspends(1.0):
        raise TariffRefused("the incentive budget would be overspent; please report the request")
    low, high = 0.0, 1.0
    while high - low > 1e-15:
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if overspends(middle) else (low, middle)
    return scaled(high)


def _without_discounts(problem: TariffProblem, prices: Array, days: NDArray[np.bool_]) -> Array:
    """The prices with no block below its highest reference price of these days, as far as the bounds let."""  # (K,)
    raised, concerned = prices.copy(), days[problem.calendar.day]
    np.maximum.at(raised, problem.calendar.block[concerned], problem.outlook.import_price_per_kwh[concerned])
    return np.minimum(raised, np.maximum(problem.limits.high_per_kwh, prices))


def _notes(problem: TariffProblem, gap: float) -> tuple[str, ...]:
    notes = []
    if gap > GAP and problem.limits.price_unit_per_kwh is not None:
        notes.append(
            f"prices in whole multiples of {problem.limits.price_unit_per_kwh:g} gain at most "
            f"{gap * stake(problem):.3g} less than prices of any size"
        )
    elif gap > GAP and not problem.response.is_diagonal:
        notes.append(
            "with cross elasticities what incentives cost is not convex: the prices are the best that convex-concave "
            f"steps found, and better ones may gain up to {gap * stake(problem):.3g} more"
        )
    if problem.response.distortion > GAP:
        notes.append(
            f"the elasticities were made symmetric and concave, which moved the slopes by "
            f"{problem.response.distortion:.2g} of their size"
        )
    return tuple(notes)
