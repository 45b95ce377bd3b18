"""A schedule as the document that is kept and answered."""

import uuid
from datetime import datetime
from typing import Any

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.optimization.devices import DeviceUse
from digital_twin.optimization.plan import DispatchProblem
from digital_twin.services.computations import Comparison
from digital_twin.services.provenance import instant_text

KIND = "dispatch"


def schedule_document(problem: DispatchProblem, objective: str, comparison: Comparison) -> dict[str, Any]:
    """The plan with its figures, its savings and what holds it back."""
    schedule, outlook = comparison.schedule, problem.outlook
    document: dict[str, Any] = {
        "kind": KIND,
        "objective": objective,
        "status": schedule.status,
        "objective_value": schedule.objective_value,
        "gap": schedule.gap,
        "start": instant_text(outlook.grid.start),
        "resolution_minutes": outlook.grid.step_minutes,
        "load_kw": outlook.load_kw.tolist(),
        "pv_kw": outlook.pv_kw.tolist(),
        "import_price_per_kwh": outlook.import_price_per_kwh.tolist(),
        "export_price_per_kwh": outlook.export_price_per_kwh.tolist(),
    }
    for name in ("charge_kw", "discharge_kw", "soc_kwh", "import_kw", "export_kw", "curtailed_kw"):
        document[name] = getattr(schedule, name).tolist()
    if schedule.shared_kwh is not None:
        document["shared_kwh"] = schedule.shared_kwh.tolist()
    for name in ("cost", "emissions_kg", "peak_kw", "self_consumption", "self_sufficiency"):
        document[name] = getattr(schedule, name)
    if schedule.water_value_per_kwh is not None:
        document["water_value_per_kwh"] = schedule.water_value_per_kwh.tolist()
    if problem.limits.beyond_per_kwh is not None:
        document["beyond_limits_kwh"] = schedule.beyond_limits_kwh
    if schedule.devices:
        document["devices"] = [_device(use) for use in schedule.devices]
        document["discomfort_c_hours"] = schedule.discomfort_c_hours
    document["savings"] = _savings(comparison)
    document["binding"] = [
        {
            "limit": limit.limit,
            "intervals": limit.intervals,
            "first_interval": None if limit.first_interval is None else instant_text(limit.first_interval),
            "value_per_unit": limit.value_per_unit,
        }
        for limit in schedule.binding
    ]
    return document


def _device(use: DeviceUse) -> dict[str, Any]:
    document: dict[str, Any] = {"device_id": use.device_id}
    for name in ("charge_kw", "discharge_kw", "soc_kwh", "temperature_c"):
        values: Array | None = getattr(use, name)
        if values is not None:
            document[name] = [None if np.isnan(value) else value for value in values.tolist()]
    return document


def _savings(comparison: Comparison) -> dict[str, Any]:
    """Against the plain self-consumption rule, and beside it against idle storage."""
    compared = {
        name: {"cost": baseline.cost, "saved": baseline.cost - comparison.schedule.cost}
        for name, baseline in (("self_consumption_rule", comparison.rule), ("idle", comparison.idle))
        if baseline is not None
    }
    reference = compared.get("self_consumption_rule")
    return {
        "baseline": "self_consumption_rule",
        "cost_without_control": reference["cost"] if reference else None,
        "saved": reference["saved"] if reference else None,
        "baselines": compared,
    }


def new_result_id(now: datetime) -> str:
    """A time-ordered UUID (RFC 9562, section 5.7)."""
    random = uuid.uuid4().int
    milliseconds = int(now.timestamp() * 1000) & ((1 << 48) - 1)
    value = (milliseconds << 80) | (0x7 << 76) | (random & ((1 << 76) - 1))
    return str(uuid.UUID(int=(value & ~(0b11 << 62)) | (0b10 << 62)))
