"""The question of a plan under risk, and its answer."""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.units import Array
from digital_twin.optimization.plan import DispatchProblem, Schedule

EXCESS_PER_LARGEST_PRICE = 10.0
"""What a kWh beyond a limit that cannot be kept costs unless said: so many times the largest price."""
PRICES = ("import_price_per_kwh", "export_price_per_kwh")


@dataclass(frozen=True, slots=True, eq=False)
class Scenarios:
    """Courses that load and generation may take, each with its probability; prices only where they differ, too.

    Raises:
        InvalidInput: no scenario, shapes that do not fit, a number that is not finite, a negative power, a weight that
            is not above 0.
    """

    load_kw: Array  # (S, T)
    pv_kw: Array  # (S, T)
    weights: Array | None = None  # (S,) equally likely unless given
    import_price_per_kwh: Array | None = None  # (S, T)
    export_price_per_kwh: Array | None = None  # (S, T)

    def __post_init__(self) -> None:
        if self.load_kw.ndim != 2 or not self.load_kw.size:
            raise InvalidInput(f"load_kw must have a row for each scenario, got shape {self.load_kw.shape}")
        for name in ("load_kw", "pv_kw", *PRICES):
            values: Array | None = getattr(self, name)
            if values is None:
                continue
            if values.shape != self.load_kw.shape:
                raise InvalidInput(f"{name} must have shape {self.load_kw.shape}, got {values.shape}", field=name)
            if not np.isfinite(values).all() or (name not in PRICES and (values < 0).any()):
                raise InvalidInput(f"{name} of scenarios must be finite and powers >= 0", field=name)
        if self.weights is not None and not self._are_weights(self.weights):
            raise InvalidInput("weights must be one number above 0 for each scenario", field="weights")

    def _are_weights(self, weights: Array) -> bool:
        return bool(weights.shape == (self.count,) and np.isfinite(weights).all() and (weights > 0).all())

    @property
    def count(self) -> int:
        return self.load_kw.shape[0]

    @property
    def probabilities(self) -> Array:  # (S,)
        weights = np.ones(self.count) if self.weights is None else self.weights
        return weights / weights.sum()


@dataclass(frozen=True, slots=True)
class Risk:
    """How much the worst outcomes count beside the mean: (1 - weight) x mean + weight x mean of the worst.

    The worst are those of probability 1 - `confidence`; their mean is the conditional value at risk.
    """

    cvar_weight: float = 0.5
    confidence: float = 0.9

    def __post_init__(self) -> None:
        if not 0 <= self.cvar_weight <= 1:
            raise InvalidInput(f"cvar_weight must lie in 0..1, got {self.cvar_weight}", field="risk.cvar_weight")
        if not 0 <= self.confidence < 1:
            raise InvalidInput(f"confidence must lie in 0..1, below 1, got {self.confidence}", field="risk.confidence")

    @property
    def tail_weight(self) -> float:
        """What the worst outcomes count apart from the mean: at a confidence of 0 they are all outcomes."""
        return self.cvar_weight if self.confidence > 0 else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class StochasticProblem:
    """Storage is scheduled now; grid exchange and curtailment follow what comes.

    `expected` is the same question about the expected course. Limits of the grid without a price hold on that course,
    and in every scenario if that is possible; if not, energy beyond them is priced far above any other.

    Raises:
        InvalidInput: the scenarios do not fit the grid, energy is shared between members, or there are devices.
    """

    expected: DispatchProblem
    scenarios: Scenarios
    risk: Risk

    def __post_init__(self) -> None:
        steps = self.expected.outlook.grid.steps
        if self.scenarios.load_kw.shape[1] != steps:
            raise InvalidInput(
                f"scenarios must have {steps} intervals, got {self.scenarios.load_kw.shape[1]}", field="load_kw"
            )
        if self.expected.devices:
            raise InvalidInput(
                "risk is planned for with the community's storage alone; leave devices out", field="risk"
            )
        if self.expected.exchange is not None:
            raise InvalidInput(
                "risk can be planned for behind a single meter only; leave `risk` out", field="sharing.rule"
            )

    @property
    def import_price_per_kwh(self) -> Array:  # (S, T)
        given = self.scenarios.import_price_per_kwh
        shape = self.scenarios.load_kw.shape
        return np.broadcast_to(self.expected.outlook.import_price_per_kwh, shape) if given is None else given

    @property
    def export_price_per_kwh(self) -> Array:  # (S, T)
        given = self.scenarios.export_price_per_kwh
        shape = self.scenarios.load_kw.shape
        return np.broadcast_to(self.expected.outlook.export_price_per_kwh, shape) if given is None else given

    @property
    def excess_price_per_kwh(self) -> float:
        if self.expected.limits.beyond_per_kwh is not None:
            return self.expected.limits.beyond_per_kwh
        largest = max(float(np.abs(getattr(self, name)).max()) for name in PRICES)
        return EXCESS_PER_LARGEST_PRICE * max(largest, 0.01)


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """What each scenario brings under one use of the storage."""

    import_kw: Array  # (S, T)
    export_kw: Array  # (S, T)
    curtailed_kw: Array  # (S, T)
    import_excess_kw: Array  # (S, T) beyond the limit
    export_excess_kw: Array  # (S, T)
    cost: Array  # (S,) with the price of what exceeds a limit
    excess_cost: Array  # (S,) of which for the latter


@dataclass(frozen=True, slots=True, eq=False)
class RiskFigures:
    """What a plan costs and risks over all scenarios."""

    expected_cost: float
    cvar: float
    objective_value: float
    import_violation_chance: float  # that the limit is passed in some interval
    export_violation_chance: float
    violation_chance: float  # that either is
    expected_excess_kwh: float
    expected_excess_cost: float


@dataclass(frozen=True, slots=True, eq=False)
class StochasticSchedule:
    """A plan that passed the independent check: on the expected course, and in every scenario."""

    schedule: Schedule
    outcomes: Outcomes
    figures: RiskFigures
    value_of_stochastic_solution: float | None
    """By how much the objective of a plan for the expected course lies above; None where there is no such plan."""
