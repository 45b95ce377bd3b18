"""The question of a dispatch and its answer."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.sharing import SharingRule
from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.optimization.devices import (
    Battery,
    Device,
    DeviceUse,
    Storage,
    check_devices,
    check_number,
    check_series,
)

DEFAULT_CARBON_PRICE_PER_KG = 0.165
"""Shadow cost of carbon for 2025 (European Investment Bank, Climate Bank Roadmap 2020: 165 EUR/t)."""


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """What is expected in each interval.

    Raises:
        InvalidInput: an array of another length than the grid, a number that is not finite, a negative power.
    """

    grid: TimeGrid
    load_kw: Array  # (T,)
    pv_kw: Array  # (T,)
    import_price_per_kwh: Array  # (T,)
    export_price_per_kwh: Array  # (T,)
    emission_factor_kg_per_kwh: Array  # (T,) marginal

    def __post_init__(self) -> None:
        for name in ("load_kw", "pv_kw"):
            check_series(getattr(self, name), name, self.grid.steps, low=0.0)
        for name in ("import_price_per_kwh", "export_price_per_kwh", "emission_factor_kg_per_kwh"):
            check_series(getattr(self, name), name, self.grid.steps, low=-np.inf)


@dataclass(frozen=True, slots=True)
class GridLimits:
    """What the connection to the grid may carry each way; hard unless each kWh beyond has a price."""

    import_kw: float
    export_kw: float
    beyond_per_kwh: float | None = None

    def __post_init__(self) -> None:
        check_number(self.import_kw, "grid_import_limit_kw", np.inf)
        check_number(self.export_kw, "grid_export_limit_kw", np.inf)
        if self.beyond_per_kwh is not None:
            check_number(self.beyond_per_kwh, "grid_limit_price_per_kwh", np.inf)


@dataclass(frozen=True, slots=True)
class PeakCharge:
    """A price on the highest import of the billing period, whose peak so far is paid already."""

    per_kw: float
    so_far_kw: float = 0.0

    def __post_init__(self) -> None:
        check_number(self.per_kw, "peak_price_per_kw", np.inf)
        check_number(self.so_far_kw, "peak_so_far_kw", np.inf)


@dataclass(frozen=True, slots=True, eq=False)
class MemberExchange:
    """Registers of the members' own meters without the community's storage, and the worth of sharing.

    The storage is one more connection point: what it charges is imported, what it discharges exported.
    """

    import_kw: Array  # (N, T)
    export_kw: Array  # (N, T)
    gain_per_kwh: Array  # (T,)
    rule: SharingRule
    settlement_minutes: int = 15
    coefficients: Array | None = None  # (N,) for static and hybrid

    def __post_init__(self) -> None:
        if not np.isfinite(self.gain_per_kwh).all():
            raise InvalidInput("the gain on shared energy must be finite in every interval", field="gain_per_kwh")
        if self.rule is SharingRule.STATIC and self.coefficients is None:
            raise InvalidInput("static sharing needs a coefficient for each member", field="coefficients")


@dataclass(frozen=True, slots=True, eq=False)
class DispatchProblem:
    """One planning question. With `exchange` the load and generation are those behind the members' meters.

    Devices are connection points of their own there, as the storage is; their loads are no part of the outlook's.

    Raises:
        InvalidInput: the settlement interval is no whole number of steps, or the parts do not fit each other.
    """

    outlook: Outlook
    storage: Storage
    limits: GridLimits
    peak: PeakCharge | None = None
    exchange: MemberExchange | None = None
    curtailable: bool = True
    devices: tuple[Device, ...] = ()

    def __post_init__(self) -> None:
        check_devices(self.devices, self.outlook.grid.steps, self.outlook.grid.step_hours)
        if self.exchange is None:
            return
        steps = self.outlook.grid.steps
        for name in ("import_kw", "export_kw"):
            registers: Array = getattr(self.exchange, name)
            if registers.ndim != 2 or registers.shape[1] != steps:
                raise InvalidInput(f"{name} of members must have {steps} values each, got shape {registers.shape}")
            check_series(registers.ravel(), name, registers.size, low=0.0)
        if self.exchange.rule is SharingRule.SINGLE_METER:
            raise InvalidInput("behind a single meter nothing is exchanged between members", field="sharing.rule")
        if steps % self.settlement_steps:
            raise InvalidInput(
                f"the horizon must be a whole number of settlement intervals of {self.exchange.settlement_minutes} "
                "minutes",
                field="horizon_hours",
            )

    @property
    def storages(self) -> tuple[Storage, ...]:
        """The community's storage and every battery beside it."""
        return (self.storage, *(device.storage for device in self.devices if isinstance(device, Battery)))

    @property
    def settlement_steps(self) -> int:
        """Intervals per settlement interval; a settlement is never finer than the plan."""
        minutes = self.exchange.settlement_minutes if self.exchange else 0
        return max(1, minutes // self.outlook.grid.step_minutes)


@dataclass(frozen=True, slots=True)
class Weights:
    """The weighted sum that a plan minimises; ties are broken by cost, by use of the devices, by evenness.

    `exported` counts each kWh exported or curtailed: minimising it maximises self-consumption (which attributes
    exports to PV first) except that emptying the storage into the grid to make room is no gain here.
    """

    cost: float = 0.0  # per currency unit
    emissions: float = 0.0  # per kg, at the marginal factor with credit for exports
    peak: float = 0.0  # per kW of the highest import
    exported: float = 0.0  # per kWh

    def __post_init__(self) -> None:
        for name in ("cost", "emissions", "peak", "exported"):
            check_number(getattr(self, name), f"weights.{name}", np.inf)
        if not any((self.cost, self.emissions, self.peak, self.exported)):
            raise InvalidInput("at least one weight must be above 0", field="weights")


OBJECTIVES = {
    "minimize_cost": Weights(cost=1.0),
    # with inelastic load and no incentive, welfare falls exactly by resource cost and carbon damage
    "maximize_welfare": Weights(cost=1.0, emissions=DEFAULT_CARBON_PRICE_PER_KG),
    "minimize_emissions": Weights(emissions=1.0),
    "minimize_peak": Weights(peak=1.0),
    "maximize_self_consumption": Weights(exported=1.0),
}
"""The five objectives by name."""


@dataclass(frozen=True, slots=True, eq=False)
class Powers:
    """What a plan does, which may be one of several that are as good."""

    charge_kw: Array  # (T,)
    discharge_kw: Array  # (T,)
    curtailed_kw: Array  # (T,)
    devices: tuple[tuple[Array, Array], ...] = ()  # what each takes and gives


@dataclass(frozen=True, slots=True)
class BindingLimit:
    """A limit that holds the plan back; one more unit of it lowers the objective by `value_per_unit`."""

    limit: str
    intervals: int
    first_interval: datetime | None
    value_per_unit: float


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """A plan that passed the independent check, with what it costs and emits."""

    charge_kw: Array  # (T,)
    discharge_kw: Array  # (T,)
    soc_kwh: Array  # (T,) at the end of each interval
    import_kw: Array  # (T,) sum over all import registers
    export_kw: Array  # (T,)
    curtailed_kw: Array  # (T,)
    shared_kwh: Array | None  # (K,) per settlement interval
    cost: float
    emissions_kg: float
    peak_kw: float
    self_consumption: float
    self_sufficiency: float
    objective_value: float
    gap: float = 0.0  # how far above the best plan at most, relative to the objective
    status: Literal["optimal", "feasible"] = "optimal"
    solver: str = "none"
    binding: tuple[BindingLimit, ...] = ()
    notes: tuple[str, ...] = ()
    devices: tuple[DeviceUse, ...] = ()
    beyond_limits_kwh: float = 0.0  # imported and exported beyond limits that have a price
    discomfort_c_hours: float = 0.0
    water_value_per_kwh: Array | None = None  # (T,) of one more kWh stored at the end of each interval
