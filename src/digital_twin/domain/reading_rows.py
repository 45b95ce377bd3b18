"""Readings that come one by one, gathered by series: what follows without a gap becomes one stretch of values."""

from datetime import UTC, datetime
from itertools import pairwise

import numpy as np

from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.domain.time import TimeGrid


class RowsBySeries:
    """Collects rows; within a series they keep the order they came in, so that the last value of a slot stays last.

    Times are checked once each: files repeat the same ones for every series.
    """

    def __init__(self) -> None:
        self._slots: dict[tuple[datetime, int], int] = {}
        self._rows: dict[tuple[SeriesKey, int], tuple[list[int], list[float]]] = {}

    def series(self, key: SeriesKey, step_minutes: int) -> tuple[list[int], list[float]]:
        """Slots and values of a series so far, to be appended to."""
        return self._rows.setdefault((key, step_minutes), ([], []))

    def slot(self, start: datetime, step_minutes: int) -> int:
        """The number of the interval that starts then, counted from 1970.

        Raises:
            InvalidInput: the start is naive or on no multiple of the step, or the step is none that a series may have.
        """
        known = self._slots.get((start, step_minutes))
        if known is None:
            grid = TimeGrid(start, 1, step_minutes)
            known = self._slots[start, step_minutes] = int(grid.start.timestamp()) // 60 // step_minutes
        return known

    def stretches(self) -> list[SeriesValues]:
        """Everything collected, series by series."""
        found: list[SeriesValues] = []
        for (key, step_minutes), (slots, values) in self._rows.items():
            if not slots:
                continue
            numbers = np.array(slots, dtype=np.int64)
            series = np.array(values, dtype=np.float64)
            edges = [0, *(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist(), numbers.size]
            for first, end in pairwise(edges):
                start = datetime.fromtimestamp(int(numbers[first]) * 60 * step_minutes, UTC)
                found.append(SeriesValues(key, TimeGrid(start, end - first, step_minutes), series[first:end]))
        return found
