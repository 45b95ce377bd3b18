"""A tariff under an incentive budget against two general solvers of the same model, written as its formulas stand.

A day at 15 minutes with a price for every hour; each round is another day. Days are those whose prices meet in the
budget alone, which has a closed form, and coupled ones, whose neighbouring prices may not differ by more than a step,
which takes the interior point. Ours is everything from the problem to the tariff: the budget kept exactly, the
independent check, who is held back by what. The peers solve and no more.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import cvxpy as cp
import numpy as np
from scipy.optimize import LinearConstraint, NonlinearConstraint, minimize

from benchmarks.measure import Result, Timings, milliseconds, report, rounds_asked, significant, take_turns
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.optimization.plan import GridLimits, Outlook
from digital_twin.optimization.tariffs.accounting import incentives_by_day, tariff_figures
from digital_twin.optimization.tariffs.demand_response import Elasticity, demand_response
from digital_twin.optimization.tariffs.design import design_tariff
from digital_twin.optimization.tariffs.plan import PriceCalendar, Supply, TariffLimits, TariffProblem, WelfareWeights

STEPS, HOUR = 96, 4
OURS = "ours: solved, within budget, checked"
WARM_UP = 1
BUDGETS = (0.5, 5.0, 50.0)
"""Without one the days' discounts would cost several hundred: each of these binds."""

STEP_PER_KWH = 0.03

Solve = Callable[[TariffProblem], Array]


def day(seed: int) -> TariffProblem:
    """A day of a hundred homes whose market price swings around the present price."""
    generator = np.random.default_rng(seed)
    hours = np.arange(STEPS) / HOUR
    load_kw = 60 + 35 * np.exp(-(((hours - 19) / 3) ** 2)) + 15 * np.exp(-(((hours - 8) / 2) ** 2))
    load_kw *= generator.lognormal(0, 0.1, STEPS)
    reference = np.where((hours >= 17) & (hours < 21), 0.38, 0.28)
    market = 0.18 + 0.10 * np.sin((hours - 13) / 24 * 2 * np.pi) + generator.normal(0, 0.03, STEPS)
    days, zeros = np.zeros(STEPS, dtype=np.int64), np.zeros(STEPS)
    outlook = Outlook(
        TimeGrid(datetime(2026, 3, 2, tzinfo=UTC), STEPS, 60 // HOUR), load_kw, zeros, reference, zeros, zeros
    )
    return TariffProblem(
        outlook,
        Supply(market, zeros, 0.0),
        PriceCalendar(np.arange(STEPS) // HOUR, days),
        demand_response(load_kw, reference, Elasticity(-0.3), days),
        TariffLimits(0.05, 0.6, np.array([BUDGETS[seed % len(BUDGETS)]]), GridLimits(1e6, 1e6)),
        WelfareWeights(),
    )


def coupled_day(seed: int) -> TariffProblem:
    """The same whose neighbouring prices lie close together."""
    free = day(seed)
    return replace(free, limits=replace(free.limits, max_step_per_kwh=STEP_PER_KWH))


@dataclass(frozen=True, slots=True, eq=False)
class Formulas:
    """Welfare and incentives as functions of the price change: w'x - x'Wx and u'd + u'Du, with D = -slopes."""

    problem: TariffProblem

    @property
    def answer(self) -> Array:  # (T,) kW less per currency unit of price more
        return -self.problem.response.slopes.diagonal()

    @property
    def weight(self) -> Array:
        outlook = self.problem.outlook
        margin = outlook.import_price_per_kwh - self.problem.supply.marginal_cost_per_kwh
        return -outlook.grid.step_hours * margin * self.answer

    @property
    def hours(self) -> float:
        return self.problem.outlook.grid.step_hours


def ours(problem: TariffProblem) -> Array:
    return design_tariff(problem).figures.import_price_per_kwh


def clarabel(problem: TariffProblem) -> Array:
    """The model in CVXPY, canonicalised for each day, as a user without parameters would."""
    formulas, limits, block = Formulas(problem), problem.limits, problem.calendar.block
    price = cp.Variable(problem.calendar.blocks, bounds=[limits.low_per_kwh, limits.high_per_kwh])
    discount = cp.Variable(STEPS, nonneg=True)
    change = price[block] - problem.outlook.import_price_per_kwh
    welfare = formulas.weight @ change - formulas.hours / 2 * cp.sum(cp.multiply(formulas.answer, cp.square(change)))
    paid = problem.outlook.load_kw @ discount + cp.sum(cp.multiply(formulas.answer, cp.square(discount)))
    limited = [discount >= -change, formulas.hours * paid <= float(limits.incentive_budget[0])]
    if limits.max_step_per_kwh is not None:
        limited.append(cp.abs(cp.diff(price)) <= limits.max_step_per_kwh)
    cp.Problem(cp.Maximize(welfare), limited).solve(solver=cp.CLARABEL)
    return np.asarray(price.value)[block]


def slsqp(problem: TariffProblem) -> Array:
    """The same for scipy, with gradients."""
    formulas, limits, block = Formulas(problem), problem.limits, problem.calendar.block
    reference, load_kw, hours = problem.outlook.import_price_per_kwh, problem.outlook.load_kw, formulas.hours
    blocks = problem.calendar.blocks
    pick = np.zeros((STEPS, blocks))
    pick[np.arange(STEPS), block] = 1.0

    def loss(x: Array) -> tuple[float, Array]:
        change = x[:blocks][block] - reference
        value = formulas.weight @ change - hours / 2 * formulas.answer @ change**2
        slope = pick.T @ (formulas.weight - hours * formulas.answer * change)
        return -float(value), np.concatenate([-slope, np.zeros(STEPS)])

    def paid(x: Array) -> float:
        return hours * float(load_kw @ x[blocks:] + formulas.answer @ x[blocks:] ** 2)

    def paid_slope(x: Array) -> Array:
        return np.concatenate([np.zeros(blocks), hours * (load_kw + 2 * formulas.answer * x[blocks:])])

    limited = (
        NonlinearConstraint(paid, -np.inf, float(limits.incentive_budget[0]), jac=paid_slope),
        LinearConstraint(np.hstack([pick, np.eye(STEPS)]), reference, np.inf),
    )
    bounds = [(limits.low_per_kwh, limits.high_per_kwh)] * blocks + [(0.0, None)] * STEPS
    start = np.concatenate([pick.T @ reference / HOUR, np.zeros(STEPS)])
    options = {"maxiter": 1000, "ftol": 1e-12}
    found = minimize(loss, start, jac=True, bounds=bounds, constraints=limited, method="SLSQP", options=options)
    return found.x[:blocks][block]


Days = Callable[[int], TariffProblem]
CONTESTS: dict[str, tuple[Days, dict[str, Solve]]] = {
    "prices meet in the budget": (
        day,
        {OURS: ours, "CVXPY with Clarabel": clarabel, "scipy's SLSQP, with gradients": slsqp},
    ),
    "steps between prices": (coupled_day, {OURS: ours, "CVXPY with Clarabel": clarabel}),
}


def quality(days: Days, solve: Solve, rounds: int) -> list[str]:
    """By how much its welfare differs from ours, and the most that it overspends the budget, evaluated exactly."""
    more, over = [], []
    for number in range(rounds):
        problem = days(number)
        price = solve(problem)
        more.append(_welfare(problem, price) - _welfare(problem, ours(problem)))
        over.append(float(incentives_by_day(problem, price)[0] - problem.limits.incentive_budget[0]))
    differs = f"{min(more):.1g} to {max(more):.1g}" if any(more) else "0"
    return [differs, f"{max(over):.1g}" if max(over) > 0 else "never"]


def _welfare(problem: TariffProblem, price_per_kwh: Array) -> float:
    return tariff_figures(problem, price_per_kwh).change.weighted(problem.weights)


def contest(name: str, rounds: int) -> list[list[str]]:
    """A row for each contestant, all of them in turns."""
    days, solvers = CONTESTS[name]
    problems = [days(number) for number in range(rounds + WARM_UP)]
    timings: Timings = take_turns(
        {one: lambda number, solve=solve: solve(problems[number + WARM_UP]) for one, solve in solvers.items()},
        rounds=rounds, warm_up=WARM_UP, clock=time.process_time,
    )  # fmt: skip
    return [
        [
            name,
            one,
            milliseconds(timings.of(one)),
            "1" if one == OURS else timings.ratio(one, OURS).text(),
            *quality(days, solve, rounds),
        ]
        for one, solve in solvers.items()
    ]


def main() -> None:
    rounds = rounds_asked((__doc__ or "").splitlines()[0], 24)
    rows = [row for name in CONTESTS for row in contest(name, rounds)]
    columns = ("T=96, 24 prices", "", "ms: median (quartiles)", "x ours", "welfare less ours", "overspends by")
    gain = np.median([_welfare(one, ours(one)) for one in map(day, range(rounds))])
    note = (
        f"The tariffs of the first kind gain {significant(float(gain))} of welfare in the median of {rounds} days; "
        "differences and overspending are in the same currency. The clock is the processor's."
    )
    report(Result("tariffs", columns, rows, [note]), "scripts/bench tariffs")


if __name__ == "__main__":
    main()
