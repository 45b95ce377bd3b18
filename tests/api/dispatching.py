"""The worked case of dispatch, asked for over HTTP."""

from typing import Any

import httpx
import numpy as np
from tests.api.application import answered, refused

EXACT = 1e-3
"""Of money, kW, kWh and kg in the worked cases."""

MONDAY = "2026-03-02T00:00:00Z"
CASE_1_COMMUNITY = {
    "total_storage_capacity_kwh": 100.0,
    "max_storage_power_kw": 40.0,
    "grid_import_limit_kw": 100.0,
    "grid_export_limit_kw": 30.0,
    "charge_efficiency": 0.9,
    "discharge_efficiency": 0.8,
}

CASE_1 = {
    "start_time": MONDAY,
    "horizon_hours": 2,
    "resolution_minutes": 30,
    "load_kw": [20.0, 40, 60, 90],
    "pv_kw": [80.0, 40, 0, 0],
    "import_price_per_kwh": [0.20, 0.20, 0.40, 0.30],
    "export_price_per_kwh": 0.05,
    "emission_factor_kg_per_kwh": [0.10, 0.25, 0.40, 0.20],
    "current_soc_kwh": 20,
}


def dispatch(client: httpx.Client, community_id: str, body: dict[str, Any], status: int = 200) -> Any:
    response = client.post(f"/communities/{community_id}/optimization/dispatch", json=body)
    return answered(response, status) if status < 400 else refused(response, status)


def check_physics(
    plan: Any, *, capacity_kwh: float, power_kw: float, efficiencies: tuple[float, float], initial_kwh: float
) -> None:
    """Balance, limits and storage, from the answer alone."""
    names = ("load_kw", "pv_kw", "charge_kw", "discharge_kw", "import_kw", "export_kw", "curtailed_kw", "soc_kwh")
    load, pv, charge, discharge, grid_in, grid_out, curtailed, soc = (np.array(plan[name]) for name in names)
    hours = plan["resolution_minutes"] / 60
    into, out = efficiencies
    np.testing.assert_allclose(grid_in + pv - curtailed + discharge, load + charge + grid_out, atol=1e-6)
    np.testing.assert_allclose(np.diff(soc, prepend=initial_kwh), hours * (into * charge - discharge / out), atol=1e-6)
    assert soc.min() > -1e-6
    assert soc.max() < capacity_kwh + 1e-6
    assert np.minimum(charge, discharge).max() < 1e-6
    assert np.maximum(charge, discharge).max() < power_kw + 1e-6
