"""The pure functions that run in the warm processes; importing this module imports no numerical package."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from digital_twin.domain.errors import Infeasible, Unavailable

if TYPE_CHECKING:
    from digital_twin.domain.units import Array
    from digital_twin.forecasting.dependence import Dependence
    from digital_twin.forecasting.forecast import Forecast, ForecastTask
    from digital_twin.forecasting.forecaster import TrainingTask
    from digital_twin.forecasting.paths import Paths
    from digital_twin.optimization.member_plan import MembersQuestion
    from digital_twin.optimization.plan import DispatchProblem, Schedule, Weights
    from digital_twin.optimization.stochastic.plan import RiskFigures, StochasticProblem
    from digital_twin.optimization.tariffs.distribution import Distribution
    from digital_twin.optimization.tariffs.learned_elasticity import LearnedElasticity, PastDemand
    from digital_twin.optimization.tariffs.plan import TariffDesign, TariffProblem
    from digital_twin.optimization.value_captured import Course, Performance
    from digital_twin.simulation.known_year import KnownYear
    from digital_twin.simulation.terms import Terms


PRELOADED = (
    "digital_twin.services.computations",
    "digital_twin.optimization.dispatch",
    "digital_twin.optimization.stochastic.dispatch",
    "digital_twin.optimization.tariffs.design",
    "digital_twin.forecasting.registry",
    "digital_twin.macro_twin.state",
    "pvlib",
)
"""What the functions import when they run: once, before the first of them does."""


TrainedBytes = tuple[bytes, bytes | None]
"""A fitted model, and its lesson if it has had one."""


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """A plan beside what the site would do without it; a baseline that breaks a limit is None."""

    schedule: "Schedule"
    rule: "Schedule | None"
    idle: "Schedule | None"
    risk: "RiskOutlook | None" = None


@dataclass(frozen=True, slots=True, eq=False)
class RiskOutlook:
    """What a plan under risk costs and imports over its scenarios, at `RISK_LEVELS`."""

    figures: "RiskFigures"
    cost_quantiles: "Array"  # (Q,)
    import_kw_quantiles: "Array"  # (Q, T)
    beyond_limits_price_per_kwh: float
    value_of_stochastic_solution: float | None


RISK_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def forecast_all(
    tasks: Sequence["ForecastTask"], model: str, levels: Sequence[float], trained: Mapping[str, TrainedBytes]
) -> list["Forecast"]:
    """A forecast for each task, by the model that was trained for its variable where there is one that suits."""
    from digital_twin.forecasting.auto import make_forecast
    from digital_twin.forecasting.model_bytes import from_bytes

    fitted = {variable: from_bytes(*payload)[0] for variable, payload in trained.items()}
    return [make_forecast(task, model=model, levels=tuple(levels), fitted=fitted.get(task.variable)) for task in tasks]


def draw_paths(load: "Forecast", pv: "Forecast", count: int, dependence: "Dependence", seed: int) -> "Paths":
    """Sample paths of load and generation, also where it is net load that is forecast."""
    from digital_twin.forecasting.net_load import split_net_paths
    from digital_twin.forecasting.paths import sample_paths

    if load.variable == "net_load_kw":
        return split_net_paths(load, pv, count=count, dependence=dependence, seed=seed)
    return sample_paths(load, pv, count=count, dependence=dependence, seed=seed)


def train_model(model: str, task: "TrainingTask") -> bytes:
    """The fitted model with its scores."""
    from digital_twin.forecasting.held_out import judge
    from digital_twin.forecasting.model_bytes import to_bytes
    from digital_twin.forecasting.training import fit

    return to_bytes(fit(model, task), judge(model, task))


def teach_model(payload: bytes, task: "TrainingTask") -> tuple[bytes, dict[str, Any] | None] | None:
    """A lesson for the model of these bytes, and what its members are worth then; None where it learns nothing."""
    from digital_twin.forecasting.model_bytes import from_bytes, lesson_to_bytes
    from digital_twin.forecasting.training import teach
    from digital_twin.forecasting.worth import worth_of

    taught = teach(from_bytes(payload)[0], task)
    return None if taught is None else (lesson_to_bytes(taught.lesson()), worth_of(taught))


def backtest_model(model: str, task: "TrainingTask", days: int, refit_days: int) -> bytes:
    """What a model would have said of the last days of the history, day by day."""
    from digital_twin.forecasting.backtest_days import backtest_days

    return backtest_days(model, task, days=days, refit_days=refit_days).to_bytes()


def plan_and_compare(problem: "DispatchProblem", weights: "Weights", time_limit_s: float) -> Comparison:
    """The optimal plan and its baselines."""
    from digital_twin.optimization.dispatch import plan_dispatch

    return compared(problem, plan_dispatch(problem, weights, time_limit_s=time_limit_s))


def compared(problem: "DispatchProblem", schedule: "Schedule") -> Comparison:
    """A plan beside its baselines."""
    from digital_twin.optimization.baseline import idle, self_consumption_rule

    return Comparison(schedule, _or_none(self_consumption_rule, problem), _or_none(idle, problem))


def plan_risk_and_compare(problem: "StochasticProblem", time_limit_s: float) -> Comparison:
    """The plan under risk, and the baselines of the expected course."""
    import numpy as np

    from digital_twin.optimization.baseline import idle, self_consumption_rule
    from digital_twin.optimization.stochastic.dispatch import plan_under_risk

    plan = plan_under_risk(problem, time_limit_s=time_limit_s)
    outlook = RiskOutlook(
        plan.figures,
        np.quantile(plan.outcomes.cost, RISK_LEVELS),
        np.quantile(plan.outcomes.import_kw, RISK_LEVELS, axis=0),
        problem.excess_price_per_kwh,
        plan.value_of_stochastic_solution,
    )
    expected = problem.expected
    return Comparison(plan.schedule, _or_none(self_consumption_rule, expected), _or_none(idle, expected), outlook)


def plan_for_members(question: "MembersQuestion", time_limit_s: float) -> bytes:
    """The plan for every member and what it means for each."""
    from digital_twin.optimization.member_plan import plan_members

    return plan_members(question, time_limit_s=time_limit_s).to_bytes()


def water_value_at(problem: "DispatchProblem", step: int, time_limit_s: float) -> float:
    """What one more kWh in the storage at the end of an interval saves in the cheapest plan. Raises Unavailable."""
    from digital_twin.optimization.dispatch import plan_dispatch
    from digital_twin.optimization.plan import OBJECTIVES

    values = plan_dispatch(problem, OBJECTIVES["minimize_cost"], time_limit_s=time_limit_s).water_value_per_kwh
    if values is None:
        raise Unavailable("the worth of stored energy was not found in time; give end_value_per_kwh", retry_after_s=5)
    return max(0.0, float(values[step]))


def performance_of(courses: "Sequence[Course]", time_limit_s: float) -> "Performance":
    """What happened beside the baselines and the best plan; each course has its part of the time."""
    from digital_twin.optimization.value_captured import performance

    return performance(courses, time_limit_s=time_limit_s / len(courses))


def _or_none(baseline: "Callable[[DispatchProblem], Schedule]", problem: "DispatchProblem") -> "Schedule | None":
    try:
        return baseline(problem)
    except Infeasible:
        return None


def learned_elasticity(past: "PastDemand") -> "LearnedElasticity | str":
    """The elasticity that readings and past prices tell, or why they tell none."""
    from digital_twin.optimization.tariffs.learned_elasticity import learn_elasticity

    return learn_elasticity(past)


def design_and_distribute(problem: "TariffProblem", member_load_kw: "Array") -> "tuple[TariffDesign, Distribution]":
    """The best tariff, and what it means for members with these loads at the present one."""
    from digital_twin.optimization.tariffs.design import design_tariff
    from digital_twin.optimization.tariffs.distribution import distribute

    design = design_tariff(problem)
    return design, distribute(problem, design.figures.import_price_per_kwh, member_load_kw)


def simulate_part(known: "KnownYear", terms: "Terms", first: int, count: int) -> bytes:
    """Some runs of all scenarios: a pure function of the terms and the numbers of the runs."""
    from digital_twin.simulation.known_year import base_year
    from digital_twin.simulation.monte_carlo import Study, simulate_runs

    return simulate_runs(Study(base_year(known), terms), first, count).to_bytes()


def warm_up() -> None:
    """Solve and forecast once, so that the first caller does not wait for imports and compilation."""
    from datetime import UTC, datetime

    import numpy as np

    from digital_twin.domain.time import TimeGrid
    from digital_twin.forecasting.forecast import ForecastTask, History, Site
    from digital_twin.optimization.devices import Storage
    from digital_twin.optimization.plan import OBJECTIVES, DispatchProblem, GridLimits, Outlook
    from digital_twin.services import twin_steps

    grid = TimeGrid(datetime(2026, 6, 1, tzinfo=UTC), 96, 15)
    ones = np.ones(grid.steps)
    prices = np.where(np.arange(grid.steps) < 24, 0.2, 0.3)  # hours of one price: ties are broken, too
    outlook = Outlook(grid, 100 * ones, 50 * ones, prices, 0.1 * ones, 0.2 * ones)
    problem = DispatchProblem(outlook, Storage(100, 50, 0.95, 0.95, 50, 50), GridLimits(500, 500))
    plan_and_compare(problem, OBJECTIVES["minimize_cost"], 10.0)
    site = Site(48.2, 16.4, "UTC", 10, 50.0, None)
    month = TimeGrid(datetime(2026, 5, 2, tzinfo=UTC), 30 * grid.steps, 15)
    readings = History(month, np.ones(month.steps), {})
    asked = (("load_kw", None), ("load_kw", readings), ("pv_kw", None))
    tasks = [ForecastTask(name, grid, grid.start, site, known, None) for name, known in asked]
    forecast_all(tasks, "auto", (0.05, 0.5, 0.95), {})
    twin_steps.warm_up()


def compile_rarer() -> None:
    """The same for what is asked for more seldom."""
    from digital_twin.forecasting.forest import compile_forest
    from digital_twin.forecasting.trees import compile_trees
    from digital_twin.services import twin_steps

    compile_trees()
    compile_forest()
    compile_risk()
    compile_members()
    compile_tariffs()
    compile_simulation()
    twin_steps.compile_hindsight()


def compile_risk() -> None:
    """Plan two scenarios of two hours."""
    from datetime import UTC, datetime

    import numpy as np

    from digital_twin.domain.time import TimeGrid
    from digital_twin.optimization.plan import DispatchProblem, GridLimits, Outlook, Storage
    from digital_twin.optimization.stochastic.plan import Risk, Scenarios, StochasticProblem

    ones = np.ones(2)
    outlook = Outlook(TimeGrid(datetime(2026, 6, 1, tzinfo=UTC), 2, 60), ones, 0 * ones, 0.3 * ones, 0 * ones, 0 * ones)
    expected = DispatchProblem(outlook, Storage(1, 1, 0.95, 0.95, 0.5, 0.5), GridLimits(5, 5))
    plan_risk_and_compare(StochasticProblem(expected, Scenarios(np.eye(2), np.zeros((2, 2))), Risk()), 10.0)


def compile_members() -> None:
    """Plan the batteries of two members for a day."""
    from datetime import UTC, datetime

    import numpy as np

    from digital_twin.domain.time import TimeGrid
    from digital_twin.optimization.fleet.plan import FleetMembers, FleetProblem, FleetStorages
    from digital_twin.optimization.member_plan import MembersQuestion
    from digital_twin.optimization.member_rules import MemberPrices
    from digital_twin.optimization.plan import GridLimits

    grid = TimeGrid(datetime(2026, 6, 1, tzinfo=UTC), 24, 60)
    prices, both = np.concatenate([np.full(12, 0.2), np.full(12, 0.4)]), np.ones((2, 24))
    members = FleetMembers(both, 0.5 * both, np.ones(2, dtype=bool), np.full(2, np.inf), np.full(2, np.inf))
    half, efficiency = np.array([1.0, 2.0]), np.full(2, 0.95)
    room = 2 * half[:, None] * both
    storages = FleetStorages(
        np.arange(2), both, both, 0 * both, room, 0 * both, half, efficiency, efficiency, np.zeros(2), np.zeros(2)
    )
    fleet = FleetProblem(grid, members, storages, prices, 0 * prices, GridLimits(5, 5), None)
    paid = MemberPrices(prices, 0 * prices, prices / 2)
    plan_for_members(MembersQuestion(fleet, paid, 0 * prices, np.zeros(2, dtype=bool), 2), 60.0)


def compile_tariffs() -> None:
    """Design two prices that may not lie far apart."""
    from datetime import UTC, datetime

    import numpy as np

    from digital_twin.domain.time import TimeGrid
    from digital_twin.optimization.plan import GridLimits, Outlook
    from digital_twin.optimization.tariffs.demand_response import Elasticity, demand_response
    from digital_twin.optimization.tariffs.plan import (
        PriceCalendar,
        Supply,
        TariffLimits,
        TariffProblem,
        WelfareWeights,
    )

    ones, cost, today = np.ones(2), np.array([0.1, 0.4]), np.zeros(2, dtype=np.int64)
    outlook = Outlook(TimeGrid(datetime(2026, 6, 1, tzinfo=UTC), 2, 60), ones, 0 * ones, 0.3 * ones, 0 * ones, 0 * ones)
    response = demand_response(ones, 0.3 * ones, Elasticity(), today)
    limits = TariffLimits(0.1, 0.5, np.full(1, 0.01), GridLimits(5, 5), max_step_per_kwh=0.1)
    calendar = PriceCalendar(np.arange(2), today)
    problem = TariffProblem(outlook, Supply(cost, cost, 0.0), calendar, response, limits, WelfareWeights())
    design_and_distribute(problem, ones[None])


def compile_simulation() -> None:
    """Simulate a year of two homes, so that the first Run does not wait for the compilation."""
    from datetime import UTC, datetime

    import numpy as np

    from digital_twin.domain.sharing import Sharing, SharingRule
    from digital_twin.simulation.base_year import DAYS, base_grid
    from digital_twin.simulation.known_year import KnownYear
    from digital_twin.simulation.place import Place
    from digital_twin.simulation.scenario import Setting
    from digital_twin.simulation.terms import Terms

    grid = base_grid(datetime(2026, 1, 1, tzinfo=UTC), 60)
    ones = np.ones(grid.steps)
    place = Place(48.2, 16.4, "UTC")
    known = KnownYear(grid, place, 2, 1.0, 2, 3_000.0, None, None, None, None, 0.3 * ones, 0.1 * ones, 0.2 * ones)
    setting = Setting(2.0, 1.0, 1.0, 1.0, 10.0, 10.0, 0.95, 0.95, SharingRule.NONE)
    terms = Terms((setting,), Sharing(), 2.0, DAYS, 1, np.zeros(DAYS, dtype=np.int64))
    simulate_part(known, terms, 0, 1)
