"""Ten days planned one at a time: what is left at the end of each is worth what the day after would pay for it."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
from tests.builders import MONDAY
from tests.cases import case_4

from digital_twin.domain.time import TimeGrid
from digital_twin.optimization import OBJECTIVES, DispatchProblem, GridLimits, Outlook, Schedule
from digital_twin.optimization.dispatch import plan_dispatch

COST = OBJECTIVES["minimize_cost"]
DAYS, STEPS, HALF_FULL_KWH = 10, 96, 500.0


class Days:
    """The day of case 4 with other loads, suns and prices each time."""

    def __init__(self) -> None:
        generator, day = np.random.default_rng(1), case_4(STEPS).outlook
        load, sun, dearer = (
            np.repeat(draw, STEPS)
            for draw in (
                generator.uniform(0.6, 1.3, DAYS + 1),
                generator.uniform(0.1, 1.1, DAYS + 1),
                generator.normal(0, 0.05, DAYS + 1),
            )
        )
        self.load_kw = np.tile(day.load_kw, DAYS + 1) * load
        self.pv_kw = np.tile(day.pv_kw, DAYS + 1) * sun
        self.buy = np.tile(day.import_price_per_kwh, DAYS + 1) + dearer

    def problem(
        self, first: int, days: int, soc_kwh: float, *, least_kwh: float, worth: float = 0.0
    ) -> DispatchProblem:
        span = slice(STEPS * first, STEPS * (first + days))
        steps = STEPS * days
        outlook = Outlook(
            TimeGrid(MONDAY + timedelta(days=first), steps, 15),
            self.load_kw[span],
            self.pv_kw[span],
            self.buy[span],
            np.full(steps, 0.08),
            np.full(steps, 0.3),
        )
        storage = replace(case_4(STEPS).storage, initial_kwh=soc_kwh, final_min_kwh=least_kwh, end_value_per_kwh=worth)
        return DispatchProblem(outlook, storage, GridLimits(2000, 2000))

    def paid(self, problem: DispatchProblem, plan: Schedule) -> float:
        """Without what is left being worth anything."""
        view = problem.outlook
        trade = view.import_price_per_kwh @ plan.import_kw - view.export_price_per_kwh @ plan.export_kw
        return float(0.25 * trade)


def rolled(days: Days, *, with_water_value: bool) -> float:
    """What ten days cost that are planned at midnight each; the last ends as the first began."""
    total, soc_kwh = 0.0, HALF_FULL_KWH
    for day in range(DAYS):
        problem = days.problem(day, 1, soc_kwh, least_kwh=HALF_FULL_KWH)
        if with_water_value and day < DAYS - 1:
            ahead = plan_dispatch(days.problem(day, 2, soc_kwh, least_kwh=HALF_FULL_KWH), COST)
            assert ahead.water_value_per_kwh is not None
            worth = max(0.0, float(ahead.water_value_per_kwh[STEPS - 1]))
            problem = days.problem(day, 1, soc_kwh, least_kwh=0.0, worth=worth)
        plan = plan_dispatch(problem, COST)
        total, soc_kwh = total + days.paid(problem, plan), float(plan.soc_kwh[-1])
    return total


def test_days_that_know_the_water_value_save_nearly_all_that_can_be_saved() -> None:
    days = Days()
    whole = days.problem(0, DAYS, HALF_FULL_KWH, least_kwh=HALF_FULL_KWH)
    least = days.paid(whole, plan_dispatch(whole, COST))
    net_kw = whole.outlook.load_kw - whole.outlook.pv_kw
    idle = 0.25 * float(
        whole.outlook.import_price_per_kwh @ np.maximum(net_kw, 0) - 0.08 * np.maximum(-net_kw, 0).sum()
    )
    ends_as_it_began, ends_where_it_pays = (
        (idle - rolled(days, with_water_value=asked)) / (idle - least) for asked in (False, True)
    )
    assert ends_as_it_began < 0.9
    assert 0.995 < ends_where_it_pays <= 1 + 1e-6
