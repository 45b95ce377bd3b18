"""What the batteries of a community do together: in part they take what roofs leave over and give what homes lack.

exchange' = keep x exchange + drift + response x (surplus' - surplus) + shock, with the surplus generation less demand.
Drift, response and size of the shocks depend on the hour of the local day: in the morning batteries follow the surplus,
in the afternoon most are full, at night most are empty.
"""

from typing import NamedTuple

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.macro_twin.coverage import Indices

FEWEST_STEPS = 96
IMAGINED_DAYS = 1.0
"""Of hours in which surplus and exchange have nothing to do with each other."""


class Policy(NamedTuple):
    """By hour of the local day."""

    response: Array  # (24,) 0..1
    drift_kw: Array  # (24,)
    shock_kw: Array  # (24,) standard deviations


def idle_policy(shock_kw: float) -> Policy:
    """Where nothing is known of what batteries respond to."""
    return Policy(np.zeros(24), np.zeros(24), np.full(24, shock_kw))


def exchange_of(soc_kwh: Array, charge_hours: float, discharge_hours: float) -> Array:
    """What batteries took in each interval for their energy to be what it is at the start of the next."""  # (T,)
    change = np.append(np.diff(soc_kwh), np.nan)
    return np.where(change >= 0, change / charge_hours, change / discharge_hours)


def learn_policy(
    exchange_kw: Array, surplus_kw: Array, hour: Indices, step_hours: float
) -> tuple[float, Policy] | None:
    """How much of the exchange is kept from one step to the next, and the policy; None where too little is known.

    Args:
        exchange_kw: NaN where it is not known, (T,)
        surplus_kw: generation less demand, NaN where it is not known, (T,)
        hour: of the local day, (T,)
    """
    before, change = exchange_kw[:-1], np.diff(surplus_kw)
    known = np.isfinite(exchange_kw[1:]) & np.isfinite(before) & np.isfinite(change)
    if known.sum() < FEWEST_STEPS or not np.any(exchange_kw[1:][known]):
        return None
    hour, before, change, exchange_kw = hour[1:][known], before[known], change[known], exchange_kw[1:][known]
    of_hour = (hour[:, None] == np.arange(24)).astype(np.float64)
    table = np.column_stack([of_hour, of_hour * change[:, None], before])
    imagined = IMAGINED_DAYS / step_hours * np.repeat([1e-3, float(np.mean(change**2))], 24)
    normal = table.T @ table + np.diag(np.append(imagined, 1e-9)) + 1e-9 * np.eye(49)
    found: Array = np.linalg.solve(normal, table.T @ exchange_kw).astype(np.float64)
    left = exchange_kw - table @ found
    number, usual = of_hour.sum(axis=0), float(np.mean(left**2))
    imagined_steps = IMAGINED_DAYS / step_hours
    shock = np.sqrt((of_hour.T @ left**2 + imagined_steps * usual) / (number + imagined_steps))
    keep = float(np.clip(found[48], 0.0, 0.99))
    response: Array = np.clip(found[24:48], 0.0, 1.0)
    return keep, Policy(response, found[:24], shock)
