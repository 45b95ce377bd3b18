"""Which days are public holidays: those of a whole country, for no community says in which part of it it lies."""

from functools import cache

import numpy as np
from numpy.typing import NDArray


def holidays_of(country: str | None, days: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which local days (since 1970-01-01) are public holidays; none without a country that is known to `holidays`."""
    if country is None or not days.size:
        return np.zeros(days.shape, dtype=np.bool_)
    first, last = days.min().astype("datetime64[D]").item().year, days.max().astype("datetime64[D]").item().year
    return np.isin(days, np.concatenate([_holidays_in(country, year) for year in range(first, last + 1)]))


@cache
def _holidays_in(country: str, year: int) -> NDArray[np.int64]:
    import holidays

    if country not in holidays.list_supported_countries(include_aliases=False):
        return np.empty(0, dtype=np.int64)
    dates = sorted(holidays.country_holidays(country, years=year))
    return np.array(dates, dtype="datetime64[D]").astype(np.int64)
