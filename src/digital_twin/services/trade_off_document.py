"""A trade-off as the document that is kept, and one of its plans taken out again."""

from typing import TYPE_CHECKING, Any

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.optimization.devices import DeviceUse

if TYPE_CHECKING:
    from digital_twin.optimization.pareto import TradeOff, TradeOffPoint

KIND = "pareto"
POINT_AGAINST = "cost_against_"
"""How the objective of a plan begins that was taken from a trade-off."""

PLAN = "plan"
"""Where the powers of a point stand; they are answered when it is kept as a plan."""
FIGURES = ("cost", "emissions_kg", "peak_kw", "self_consumption", "self_sufficiency")
_POWERS = ("charge_kw", "discharge_kw", "curtailed_kw")


def trade_off_document(found: "TradeOff") -> dict[str, Any]:
    """The points from the cheapest on, with the powers that make each up."""
    return {"unit": found.unit, "points": [_point(number, one) for number, one in enumerate(found.points)]}


def _point(number: int, point: "TradeOffPoint") -> dict[str, Any]:
    schedule = point.schedule
    figures = {name: getattr(schedule, name) for name in FIGURES}
    plan: dict[str, Any] = {name: getattr(schedule, name).tolist() for name in _POWERS}
    plan["devices"] = [
        {
            "device_id": use.device_id,
            "charge_kw": use.charge_kw.tolist(),
            "discharge_kw": use.discharge_kw.tolist(),
            "soc_kwh": _plain(use.soc_kwh),
            "temperature_c": _plain(use.temperature_c),
        }
        for use in schedule.devices
    ]
    return {
        "number": number,
        "measure": point.measure,
        "price_per_unit": point.price_per_unit,
        **figures,
        PLAN: plan,
    }


def powers_of(plan: dict[str, Any]) -> tuple[Array, Array, Array, tuple[DeviceUse, ...]]:
    """Charge, discharge, curtailment and devices of a kept point."""
    charge, discharge, curtailed = (np.array(plan[name], dtype=np.float64) for name in _POWERS)
    devices = tuple(
        DeviceUse(
            one["device_id"],
            np.array(one["charge_kw"], dtype=np.float64),
            np.array(one["discharge_kw"], dtype=np.float64),
            _array(one["soc_kwh"]),
            _array(one["temperature_c"]),
        )
        for one in plan["devices"]
    )
    return charge, discharge, curtailed, devices


def _plain(values: Array | None) -> list[float | None] | None:
    return None if values is None else [None if np.isnan(value) else value for value in values.tolist()]


def _array(values: list[float | None] | None) -> Array | None:
    return None if values is None else np.array(values, dtype=np.float64)
