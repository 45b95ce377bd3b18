"""Documents of the API as tables: one row for each interval."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from digital_twin.dashboard.clock import local_text, parsed

Document = dict[str, Any]
Values = Sequence[float | None]

TIME = "time"
"""Start of the interval in milliseconds since 1970: what charts count in."""
WHEN = "when"
"""The same in the community's own time, as text."""


def intervals(start: str, minutes: int, columns: Mapping[str, Values | None], zone: tzinfo) -> pd.DataFrame:
    """A row for each interval: TIME, WHEN and the columns, as long as the longest; what is missing is NaN."""
    length = max((len(values) for values in columns.values() if values is not None), default=0)
    first = parsed(start)
    instants = [first + index * timedelta(minutes=minutes) for index in range(length)]
    frame = pd.DataFrame({
        TIME: [milliseconds(instant) for instant in instants],
        WHEN: [local_text(instant, zone) for instant in instants],
    })  # fmt: skip
    for name, values in columns.items():
        frame[name] = _padded(values or (), length)
    return frame


def _padded(values: Values, length: int) -> NDArray[np.float64]:
    padded = np.full(length, np.nan)
    padded[: len(values)] = [np.nan if value is None else value for value in values]
    return padded


def milliseconds(instant: datetime) -> float:
    """Since 1970."""
    return instant.timestamp() * 1000


def with_last_edge(frame: pd.DataFrame, minutes: int) -> pd.DataFrame:
    """One more row at the end of the last interval, so that a step chart draws it whole."""
    if frame.empty:
        return frame
    edge = frame.tail(1).copy()
    edge[TIME] += 60_000.0 * minutes
    return pd.concat([frame, edge], ignore_index=True)


def long(frame: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """A row for each interval and series: TIME, WHEN, `series` (its name on screen) and `value`."""
    kept = {column: shown for column, shown in names.items() if column in frame}
    columns: Any = frame[[TIME, WHEN, *kept]]
    return (
        columns.rename(columns=kept)
        .melt(id_vars=[TIME, WHEN], var_name="series", value_name="value")
        .dropna(subset=["value"])
        .reset_index(drop=True)
    )


def hourly(frame: pd.DataFrame, names: Mapping[str, str], decimals: int = 1) -> pd.DataFrame:
    """The table that people read: means by hour, rounded, under the names on screen."""
    kept = {column: shown for column, shown in names.items() if column in frame}
    if frame.empty:
        return pd.DataFrame(columns=["From", *kept.values()])
    grouped: Any = frame.groupby(frame[TIME] // 3_600_000, sort=True)
    table: pd.DataFrame = grouped[list(kept)].mean().round(decimals).rename(columns=kept)
    table.insert(0, "From", grouped[WHEN].first())
    return table.reset_index(drop=True)
