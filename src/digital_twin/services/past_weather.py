"""The weather of the past as a forecast knew it: what was foreseen when a day began, not what it became.

A model that learns from measured weather trusts the weather of tomorrow too much.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.readings import SeriesValues
from digital_twin.domain.time import floor_to_step
from digital_twin.services.history import believed_readings
from digital_twin.services.ports import Transaction

FORESEEN_DAYS = 120
"""As far back the issue of each day is looked up; older days, which count less, are taken as measured."""

DAY = timedelta(days=1)


async def as_foreseen(
    tx: Transaction, weather: Mapping[str, SeriesValues], as_of: datetime, *, days: int = FORESEEN_DAYS
) -> dict[str, SeriesValues]:
    """Each series with the values that were known when their UTC day began, where any were.

    Args:
        weather: the community's own series as known at `as_of`, by name.
        days: so many of the latest are looked up.
    """
    changed = {name: series.values.copy() for name, series in weather.items()}
    keys = [series.key for series in weather.values()]
    first = min((series.grid.start for series in weather.values()), default=as_of)
    day = floor_to_step(as_of, 1440)
    oldest = max(first, day - days * DAY)
    while day >= oldest and keys:
        try:
            known = await believed_readings(tx, keys, day, day + DAY, day)
        except InvalidInput:  # what was known then is not kept any more
            break
        for series in known:
            _put(changed[series.key.name], weather[series.key.name], series)
        day -= DAY
    return {name: replace(series, values=changed[name]) for name, series in weather.items()}


def _put(values: np.ndarray[tuple[int], np.dtype[np.float64]], series: SeriesValues, foreseen: SeriesValues) -> None:
    """The foreseen values in place of those of the series, where there are any."""
    if foreseen.grid.step_minutes != series.grid.step_minutes:
        return
    first = round((foreseen.grid.start - series.grid.start) / series.grid.step)
    target = np.arange(first, first + foreseen.grid.steps)
    taken = np.isfinite(foreseen.values) & (target >= 0) & (target < series.grid.steps)
    values[target[taken]] = foreseen.values[taken]
