"""The plan under risk as one linear program with everything written out, for HiGHS: the fall-back, and the oracle."""

from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np
import scipy.sparse as sp

from digital_twin.domain.units import Array
from digital_twin.optimization.linear_program import LinearProgram, run
from digital_twin.optimization.stochastic.plan import StochasticProblem
from digital_twin.optimization.stochastic.reach import Reach


@dataclass(frozen=True, slots=True, eq=False)
class Extensive:
    """What HiGHS found."""

    objective: float
    charge_kw: Array  # (T,)
    discharge_kw: Array  # (T,)


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """The extensive form, ready to be solved."""

    program: LinearProgram
    constant: float
    steps: int

    @classmethod
    def of(cls, problem: StochasticProblem, reach: Reach) -> "Prepared":
        storage, steps = problem.expected.storage, problem.expected.outlook.grid.steps
        return cls(extensive_form(problem, reach), storage.end_value_per_kwh * storage.final_min_kwh, steps)

    def solve(self, *, time_limit_s: float, **options: str) -> Extensive | None:
        """The optimum; None where HiGHS finds none in time."""
        highs = highspy.Highs()
        for name, value in {"output_flag": False, "threads": 1, "time_limit": time_limit_s, **options}.items():
            highs.setOptionValue(name, value)
        highs.passModel(self.program.to_highs())
        if not run(highs):
            return None
        values, objective = np.array(highs.getSolution().col_value), highs.getInfo().objective_function_value
        return Extensive(objective + self.constant, values[: self.steps], values[self.steps : 2 * self.steps])


def extensive_form(problem: StochasticProblem, reach: Reach) -> LinearProgram:
    """Charge, discharge and state of charge; in each scenario and interval import and export within their limits and
    beyond them, and curtailment; of each scenario its peak and its loss beyond the threshold; the threshold.
    """
    expected, risk, chance = problem.expected, problem.risk, problem.scenarios.probabilities
    storage, limits, hours = expected.storage, expected.limits, expected.outlook.grid.step_hours
    scenarios, steps = problem.scenarios.load_kw.shape
    cells = scenarios * steps
    so_far_kw = np.inf if expected.peak is None else expected.peak.so_far_kw
    cost_of = _costs(problem)
    mean, share = (1 - risk.cvar_weight) * chance, risk.cvar_weight / (1 - risk.confidence)
    initial = np.zeros(steps)
    initial[0] = storage.initial_kwh
    net_kw = (problem.scenarios.load_kw - problem.scenarios.pv_kw).ravel()
    curtailable_kw = problem.scenarios.pv_kw.ravel() * expected.curtailable
    beyond = np.full(cells, np.inf)
    within = [np.full(cells, limits.import_kw), beyond, np.full(cells, limits.export_kw), beyond, curtailable_kw]
    soc_kwh = (storage.least_kwh(steps, hours), np.full(steps, storage.capacity_kwh))
    of_storage = [reach.charge_kw, reach.discharge_kw, soc_kwh]
    of_scenarios = np.zeros(5 * cells + 2 * scenarios)
    return LinearProgram(
        cost=np.concatenate([cost_of.T @ mean, share * chance, [risk.cvar_weight]]),
        lower=np.concatenate([*(low for low, _ in of_storage), of_scenarios, [-np.inf]]),
        upper=np.concatenate([*(high for _, high in of_storage), *within, np.full(2 * scenarios + 1, np.inf)]),
        matrix=_matrix(problem, cost_of),
        row_lower=np.concatenate([initial, net_kw, np.full(cells + scenarios, -np.inf)]),
        row_upper=np.concatenate([initial, net_kw, np.full(cells, so_far_kw), np.zeros(scenarios)]),
    )


def _costs(problem: StochasticProblem) -> Any:
    """What each scenario pays for each variable but its loss and the threshold."""  # (S, variables)
    expected, hours = problem.expected, problem.expected.outlook.grid.step_hours
    scenarios, steps = problem.scenarios.load_kw.shape
    buy, sell, beyond = problem.import_price_per_kwh, problem.export_price_per_kwh, problem.excess_price_per_kwh
    moved = np.full((scenarios, 2 * steps), hours * expected.storage.wear_per_kwh)
    stored = np.zeros((scenarios, steps))
    stored[:, -1] = -expected.storage.end_value_per_kwh
    exchanged = [
        sp.block_diag(list(hours * price.reshape(scenarios, 1, steps)))
        for price in (buy, buy + beyond, -sell, beyond - sell, 0 * buy)
    ]
    peak = 0.0 if expected.peak is None else expected.peak.per_kw
    return sp.csr_array(sp.hstack([moved, stored, *exchanged, peak * sp.eye_array(scenarios)]))


def _matrix(problem: StochasticProblem, cost_of: Any) -> Any:
    """Energy in store, balances, peaks, and losses."""
    storage, hours = problem.expected.storage, problem.expected.outlook.grid.step_hours
    scenarios, steps = problem.scenarios.load_kw.shape
    eye, every, own = sp.eye_array(steps), sp.eye_array(scenarios * steps), sp.eye_array(scenarios)
    repeated, ones = sp.kron(np.ones((scenarios, 1)), eye), np.ones((scenarios, 1))
    gain, loss = hours * storage.charge_efficiency, hours / storage.discharge_efficiency
    peaks = -sp.kron(own, np.ones((steps, 1)))
    widths = np.cumsum([steps] * 3 + [scenarios * steps] * 5).tolist()
    costs = [cost_of[:, start:end] for start, end in zip([0, *widths], [*widths, cost_of.shape[1]], strict=True)]
    blocks = [
        [-gain * eye, loss * eye, eye - sp.eye_array(steps, k=-1), *[None] * 8],
        [-repeated, repeated, None, every, every, -every, -every, -every, None, None, None],
        [None, None, None, every, every, None, None, None, peaks, None, None],
        [*costs, -own, -ones],
    ]
    return sp.csc_array(sp.block_array(blocks))


def column_names(problem: StochasticProblem) -> list[str]:
    """`import_kw_3_17` is the import of scenario 3 in interval 17."""
    scenarios, steps = problem.scenarios.load_kw.shape
    of_cell = ("import_kw", "import_beyond_kw", "export_kw", "export_beyond_kw", "curtailed_kw")
    return [
        *(f"{name}_{step}" for name in ("charge_kw", "discharge_kw", "soc_kwh") for step in range(steps)),
        *(f"{name}_{scenario}_{step}" for name in of_cell for scenario in range(scenarios) for step in range(steps)),
        *(f"{name}_{scenario}" for name in ("peak_kw", "loss") for scenario in range(scenarios)),
        "threshold",
    ]
