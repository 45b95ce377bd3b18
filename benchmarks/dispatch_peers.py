"""The day that schedulers are compared on, planned by CVXPY and by the bare solver."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import cvxpy as cp
import highspy
import numpy as np
from tests.cases import case_4

from digital_twin.domain.units import Array
from digital_twin.optimization import DispatchProblem

STEPS = 96
OPTIMUM = 1006.3345

Plan = Callable[[int], float]
"""The optimal cost of the day of that number."""


@cache
def day(number: int) -> DispatchProblem:
    """The compared day as day 0; others have a little more or less load and sun in each interval."""
    problem = case_4(STEPS)
    if number == 0:
        return problem
    factors = np.random.default_rng(abs(number)).normal(1, 0.02, (2, STEPS))
    outlook = problem.outlook
    changed = replace(outlook, load_kw=outlook.load_kw * factors[0], pv_kw=outlook.pv_kw * factors[1])
    return replace(problem, outlook=changed)


class WithCvxpy:
    """Stock CVXPY, written as its manual advises: parameters, DPP, bounds as bounds, HiGHS."""

    def __init__(self) -> None:
        problem = case_4(STEPS)
        store, limits, hours = problem.storage, problem.limits, problem.outlook.grid.step_hours
        self._net_load = cp.Parameter(STEPS)
        self._pv = cp.Parameter(STEPS, nonneg=True)
        self._price, self._export_price = cp.Parameter(STEPS), cp.Parameter(STEPS)
        charge = cp.Variable(STEPS, bounds=[0, store.power_kw])
        discharge = cp.Variable(STEPS, bounds=[0, store.power_kw])
        soc = cp.Variable(STEPS, bounds=[0, store.capacity_kwh])
        imported = cp.Variable(STEPS, bounds=[0, limits.import_kw])
        exported = cp.Variable(STEPS, bounds=[0, limits.export_kw])
        curtailed = cp.Variable(STEPS, bounds=[0, self._pv])
        stored = hours * (store.charge_efficiency * charge - discharge / store.discharge_efficiency)
        self._problem = cp.Problem(
            cp.Minimize(hours * (self._price @ imported - self._export_price @ exported)),
            [
                imported - exported + discharge - charge - curtailed == self._net_load,
                soc[0] == store.initial_kwh + stored[0],
                soc[1:] == soc[:-1] + stored[1:],
                soc[-1] >= store.final_min_kwh,
            ],
        )
        assert self._problem.is_dcp(dpp=True)

    def __call__(self, number: int) -> float:
        outlook = day(number).outlook
        self._net_load.value, self._pv.value = outlook.load_kw - outlook.pv_kw, outlook.pv_kw
        self._price.value, self._export_price.value = outlook.import_price_per_kwh, outlook.export_price_per_kwh
        return float(self._problem.solve(cp.HIGHS, threads=1))  # type: ignore[arg-type]

    def linear_program(self) -> dict[str, Any]:
        """The matrices CVXPY made of day 0."""
        self(0)
        return self._problem.get_problem_data(cp.HIGHS, solver_opts={})[0]


class BareHighs:
    """The solver alone on CVXPY's matrices: nothing can be faster that solves this program with HiGHS."""

    def __init__(self, data: dict[str, Any], *, warm: bool) -> None:
        self._warm = warm
        matrix, rows = data["A"].tocsc(), data["A"].shape[0]
        self._upper = np.asarray(data["b"], dtype=np.float64)
        lower = self._upper.copy()
        self._equalities = data["dims"].zero
        lower[self._equalities :] = -highspy.kHighsInf
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = matrix.shape[1], rows
        lp.col_cost_, lp.col_lower_, lp.col_upper_ = data["c"], data["lower_bounds"], data["upper_bounds"]
        lp.row_lower_, lp.row_upper_ = lower, self._upper
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = matrix.indptr, matrix.indices, matrix.data
        self._highs = highspy.Highs()
        self._highs.setOptionValue("output_flag", False)
        self._highs.setOptionValue("threads", 1)
        if warm:
            self._highs.setOptionValue("presolve", "off")
        self._highs.passModel(lp)
        self._balance = self._find_balance(case_4(STEPS))

    def _find_balance(self, problem: DispatchProblem) -> Array:
        """The rows whose right-hand side is the net load."""
        net = problem.outlook.load_kw - problem.outlook.pv_kw
        return np.array([int(np.argmin(np.abs(self._upper[: self._equalities] - value))) for value in net])

    def __call__(self, number: int) -> float:
        outlook = day(number).outlook
        net = outlook.load_kw - outlook.pv_kw
        if not self._warm:
            self._highs.clearSolver()
        self._highs.changeRowsBounds(STEPS, self._balance.astype(np.int32), net, net)  # type: ignore[attr-defined]
        self._highs.run()
        return float(self._highs.getInfo().objective_function_value)
