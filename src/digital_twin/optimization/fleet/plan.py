"""The question of a fleet and its answer: every member's own battery and vehicle behind one community's connection."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.optimization.plan import GridLimits, PeakCharge

Whole = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

DEFAULT_GAP = 1e-4

_NO_COST = 0.01
"""Costs below it are rounding where nothing costs anything."""


@dataclass(frozen=True, slots=True, eq=False)
class FleetMembers:
    """What each member uses and generates, and what its own connection carries.

    Raises:
        InvalidInput: arrays that do not fit each other, a number that is not finite, a negative power.
    """

    load_kw: Array  # (N, T)
    pv_kw: Array  # (N, T)
    curtailable: Flags  # (N,)
    import_fuse_kw: Array  # (N,) infinite where nothing limits
    export_fuse_kw: Array  # (N,)

    def __post_init__(self) -> None:
        members, steps = _shape(self.load_kw, "load_kw")
        _check(self.load_kw, "load_kw", (members, steps), low=0.0)
        _check(self.pv_kw, "pv_kw", (members, steps), low=0.0)
        _check(self.curtailable, "curtailable", (members,))
        for name in ("import_fuse_kw", "export_fuse_kw"):
            _check(getattr(self, name), name, (members,), low=0.0, infinite=True)


@dataclass(frozen=True, slots=True, eq=False)
class FleetStorages:
    """Batteries and vehicles, one row each; a vehicle that is away has no power, and driving takes energy.

    A reserve and the energy at departure are lower bounds of what is stored. What is left at the end is worth
    `end_value_per_kwh`.

    Raises:
        InvalidInput: arrays that do not fit each other, numbers out of range.
    """

    member: Whole  # (B,) the row of FleetMembers that it belongs to
    charge_max_kw: Array  # (B, T) on the AC side
    discharge_max_kw: Array  # (B, T)
    lowest_kwh: Array  # (B, T) at the end of each interval
    highest_kwh: Array  # (B, T)
    driven_kwh: Array  # (B, T)
    initial_kwh: Array  # (B,)
    charge_efficiency: Array  # (B,)
    discharge_efficiency: Array  # (B,)
    wear_per_kwh: Array  # (B,) per kWh charged and per kWh discharged
    end_value_per_kwh: Array  # (B,)

    def __post_init__(self) -> None:
        storages, steps = _shape(self.charge_max_kw, "charge_max_kw")
        _check(self.member, "member", (storages,), low=0.0)
        for name in ("charge_max_kw", "discharge_max_kw", "lowest_kwh", "highest_kwh", "driven_kwh"):
            _check(getattr(self, name), name, (storages, steps), low=0.0)
        for name in ("initial_kwh", "wear_per_kwh", "end_value_per_kwh"):
            _check(getattr(self, name), name, (storages,), low=0.0)
        for name in ("charge_efficiency", "discharge_efficiency"):
            _check(getattr(self, name), name, (storages,), low=np.finfo(np.float64).tiny)
            if (getattr(self, name) > 1).any():
                raise InvalidInput(f"{name} must lie in (0, 1]", field=name)


@dataclass(frozen=True, slots=True, eq=False)
class FleetProblem:
    """What is asked: the least cost at the community's connection, with wear, over all that members' storages can do.

    Inside the community energy costs nothing. Emissions are weighed by adding their price to both prices.

    Raises:
        InvalidInput: arrays that do not fit each other, prices that are not finite.
    """

    grid: TimeGrid
    members: FleetMembers
    storages: FleetStorages
    import_price_per_kwh: Array  # (T,)
    export_price_per_kwh: Array  # (T,)
    limits: GridLimits
    peak: PeakCharge | None = None

    def __post_init__(self) -> None:
        members, steps = self.members.load_kw.shape
        if steps != self.grid.steps or self.storages.charge_max_kw.shape[1] != steps:
            raise InvalidInput(f"members and storages must have {self.grid.steps} values each, as the grid has steps")
        for name in ("import_price_per_kwh", "export_price_per_kwh"):
            _check(getattr(self, name), name, (steps,))
        if self.storages.member.size and int(self.storages.member.max()) >= members:
            raise InvalidInput(f"a storage belongs to member {self.storages.member.max()} of {members}", field="member")

    @property
    def retail_cost(self) -> float:
        """What the load alone costs at import prices."""
        prices = np.abs(self.import_price_per_kwh)
        return self.grid.step_hours * float(self.members.load_kw.sum(axis=0) @ prices)


@dataclass(frozen=True, slots=True, eq=False)
class FleetPlan:
    """A plan that passed the independent check, with a certificate: no plan costs less than `lower_bound`."""

    charge_kw: Array  # (B, T)
    discharge_kw: Array  # (B, T)
    soc_kwh: Array  # (B, T) at the end of each interval
    curtailed_kw: Array  # (N, T)
    import_kw: Array  # (T,) at the community's connection
    export_kw: Array  # (T,)
    value_per_kwh: Array  # (T,) of one more kWh within the community
    cost: float
    lower_bound: float
    gap: float  # relative, see `relative_gap`
    status: Literal["optimal", "feasible"]
    solver: str
    iterations: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FleetProgress:
    """How far a plan has come: the bounds so far, infinite as long as there are none."""

    iterations: int
    lower_bound: float
    upper_bound: float
    gap: float


def relative_gap(lower: float, upper: float, retail_cost: float) -> float:
    """How far the plan may lie above the best, relative to its cost or to 1 % of what the load costs at retail."""
    if not np.isfinite(upper) or not np.isfinite(lower):
        return np.inf
    return max(0.0, upper - lower) / gap_scale(upper, retail_cost)


def gap_scale(cost: float, retail_cost: float) -> float:
    """What a gap is told relative to."""
    return max(abs(cost), 0.01 * retail_cost, _NO_COST)


def _shape(values: Array, name: str) -> tuple[int, int]:
    if values.ndim != 2:
        raise InvalidInput(f"{name} must have a row of values for each, got shape {values.shape}", field=name)
    return values.shape[0], values.shape[1]


def _check(values: Any, name: str, shape: tuple[int, ...], *, low: float = -np.inf, infinite: bool = False) -> None:
    if values.shape != shape:
        raise InvalidInput(f"{name} must be of shape {shape}, got {values.shape}", field=name)
    right = (values >= low) & (np.isfinite(values) | infinite)
    if not right.all():
        place = ".".join(str(int(index)) for index in np.argwhere(~right)[0])
        rule = f"{'' if infinite else 'finite and '}>= {low:g}" if low > -np.inf else "finite"
        raise InvalidInput(f"{name} must be {rule}, {place} is not", field=f"{name}.{place}")
