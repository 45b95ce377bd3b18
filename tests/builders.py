"""Short words for long constructions."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from digital_twin.domain.community import Community
from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.domain.time import TimeGrid

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


def community(community_id: str = "solar_valley", **given: Any) -> Community:
    """The guide's community."""
    numbers: dict[str, Any] = {
        "num_prosumers": 100,
        "total_pv_capacity_kw": 500,
        "total_storage_capacity_kwh": 200,
        "max_storage_power_kw": 50,
        "grid_import_limit_kw": 300,
        "grid_export_limit_kw": 300,
        "incentive_budget_daily": 1000,
    }
    return Community(community_id, **{**numbers, **given})


def series(
    name: str,
    values: Sequence[float],
    *,
    member: str | None = None,
    asset: str | None = None,
    start: datetime = MONDAY,
    minutes: int = 15,
) -> SeriesValues:
    """Readings from `start` on; None is no reading."""
    array = np.array(values, dtype=np.float64)
    return SeriesValues(SeriesKey(name, member, asset), TimeGrid(start, array.size, minutes), array)


def hours(number: float) -> timedelta:
    return timedelta(hours=number)
