"""What a caller fixes of a plan at the level of members, and how a Run keeps it."""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.optimization.devices import ElectricVehicle
from digital_twin.services.planned_devices import StayRequest, VehicleRequest
from digital_twin.services.prices import PriceRequest

MemberObjective = Literal["minimize_cost", "maximize_welfare"]
OBJECTIVES: tuple[MemberObjective, ...] = ("minimize_cost", "maximize_welfare")

_ARRAYS = ("load_kw", "pv_kw")
_PRICES = ("import_price_per_kwh", "export_price_per_kwh", "emission_factor_kg_per_kwh", "zonal_price_per_kwh")
_INSTANTS = ("start", "as_of")
_NUMBERS = (
    "objective", "horizon_hours", "resolution_minutes", "peak_price_per_kw", "battery_wear_per_kwh",
    "end_value_per_kwh", "grid_limit_price_per_kwh",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class MemberDispatch:
    """What is left out comes from readings, registered assets, forecast, tariff and documented priors."""

    objective: MemberObjective
    start: datetime | None
    horizon_hours: float
    resolution_minutes: int
    load_kw: Array | None = None
    pv_kw: Array | None = None
    prices: PriceRequest = field(default_factory=PriceRequest)
    peak_price_per_kw: float | None = None
    battery_wear_per_kwh: float = 0.0
    end_value_per_kwh: float | None = None
    grid_limit_price_per_kwh: float | None = None
    vehicles: tuple[VehicleRequest, ...] = ()
    as_of: datetime | None = None


def dispatch_kept(request: MemberDispatch) -> dict[str, Any]:
    """As plain JSON; start and `as_of` have been decided, so that every attempt does the same."""
    kept: dict[str, Any] = {name: getattr(request, name) for name in _NUMBERS}
    kept |= {name: _plain(getattr(request, name)) for name in (*_ARRAYS, *_INSTANTS)}
    kept["prices"] = {name: _plain(getattr(request.prices, name)) for name in _PRICES}
    kept["vehicles"] = [
        {
            "vehicle": {**asdict(one.vehicle), "stays": None},
            "stays": [{name: _plain(value) for name, value in asdict(stay).items()} for stay in one.stays],
            "member_id": one.member_id,
        }
        for one in request.vehicles
    ]
    return kept


def kept_dispatch(kept: dict[str, Any]) -> MemberDispatch:
    """What `dispatch_kept` made JSON of."""
    numbers: dict[str, Any] = {name: kept[name] for name in _NUMBERS}
    arrays: dict[str, Any] = {name: _numbers(kept[name]) for name in _ARRAYS}
    instants: dict[str, Any] = {name: _instant(kept[name]) for name in _INSTANTS}
    return MemberDispatch(
        **numbers,
        **arrays,
        **instants,
        prices=PriceRequest(*(_numbers(kept["prices"][name]) for name in _PRICES)),
        vehicles=tuple(
            VehicleRequest(
                _vehicle(one["vehicle"]),
                tuple(_stay(stay) for stay in one["stays"]),
                one["member_id"],
            )
            for one in kept["vehicles"]
        ),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.isoformat() if isinstance(value, datetime) else value


def _numbers(value: Any) -> Array | float | None:
    return np.array(value, dtype=np.float64) if isinstance(value, list) else value


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _vehicle(kept: dict[str, Any]) -> ElectricVehicle:
    numbers: dict[str, Any] = {**kept, "stays": ()}
    return ElectricVehicle(**numbers)


def _stay(kept: dict[str, Any]) -> StayRequest:
    times: dict[str, Any] = {name: _instant(kept[name]) for name in ("arrival", "departure")}
    return StayRequest(**{**kept, **times})
