"""What a community's own issued forecasts missed: on the days before, and since today's began."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from digital_twin.domain.community import Community
from digital_twin.domain.readings import SeriesValues
from digital_twin.domain.resampling import resample
from digital_twin.domain.time import local_date, local_midnight
from digital_twin.domain.units import Array
from digital_twin.forecasting.dependence import TYPICAL, Dependence, learn_dependence, normal_scores
from digital_twin.forecasting.intraday import DaySoFar
from digital_twin.services.history import KnownSeries
from digital_twin.services.judged_days import JudgedDay, grid_of, judged_days
from digital_twin.services.ports import IssuedForecast, Transaction

LEARNED_FROM = timedelta(days=56)
FEWEST_DAYS = 14
"""Fewer days do not tell how errors hang together."""

_KEPT = 256


@dataclass(frozen=True, slots=True, eq=False)
class PastErrors:
    """As known when a local day began: normal scores of the days before, by variable."""

    days: Mapping[str, Mapping[datetime, Array]]  # each (S,), as long as its day
    step_minutes: int
    dependence: Dependence
    """How errors of load and generation hang together."""

    dependence_of_net: Dependence
    """How those of metered net load do, in place of load."""

    @property
    def shared_days(self) -> int:
        """So many tell how load and generation hang together; none where they are too few."""
        shared = len(_shared(self.days))
        return shared if shared >= FEWEST_DAYS else 0

    def dependence_for(self, variable: str) -> Dependence:
        """The one that tells how errors of this variable fade."""
        return self.dependence_of_net if variable == "net_load_kw" else self.dependence


class ErrorMemory:
    """Reads them once for each community and local day."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, int, datetime], PastErrors] = OrderedDict()

    async def before(self, tx: Transaction, community: Community, as_of: datetime) -> PastErrors:
        """Of the days before the local day that this instant is in, from what was known when that began."""
        midnight = _midnight(community, as_of)
        key = community.community_id, community.num_prosumers, midnight  # to whose number sums are scaled
        if key not in self._kept:
            judged = await judged_days(tx, community, midnight - LEARNED_FROM, midnight, now=midnight)
            self._kept[key] = _past_errors(judged)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


async def days_so_far(
    tx: Transaction,
    community: Community,
    past: PastErrors,
    histories: Mapping[str, KnownSeries],
    until: datetime,
) -> dict[str, DaySoFar]:
    """What the forecasts that the local day began with have missed until an instant, by variable.

    Args:
        histories: readings until then, as they are known.
    """
    midnight = _midnight(community, until)
    if midnight == until:
        return {}
    issued = await tx.issued_forecasts.between(midnight, until)
    return {
        one.variable: _so_far(one, past, histories[one.variable].values) for one in issued if one.variable in histories
    }


def _so_far(issued: IssuedForecast, past: PastErrors, known: SeriesValues) -> DaySoFar:
    grid = grid_of(issued)
    scores = _scores(issued, resample(known, grid).values)
    earlier = past.days.get(issued.variable, {}) if past.step_minutes == grid.step_minutes else {}
    return DaySoFar(grid.start, grid.step_minutes, scores, _table(list(earlier.values()), scores.size))


def _past_errors(judged: Mapping[str, Sequence[JudgedDay]]) -> PastErrors:
    """Of the days that count and whose intervals are as long as those of the newest."""
    newest = max((days[-1] for days in judged.values()), key=lambda day: day.grid.start, default=None)
    step_minutes = 60 if newest is None else newest.grid.step_minutes
    scores = {
        name: {
            one.grid.start: _scores(one.issued, one.actual)
            for one in days
            if one.sums and one.grid.step_minutes == step_minutes
        }
        for name, days in judged.items()
    }
    return PastErrors(
        scores,
        step_minutes,
        _dependence(scores.get("load_kw", {}), scores.get("pv_kw", {}), step_minutes),
        _dependence(scores.get("net_load_kw", {}), {}, step_minutes),
    )


def _dependence(load: Mapping[datetime, Array], generation: Mapping[datetime, Array], step_minutes: int) -> Dependence:
    """Of both where enough days tell of both, else of the one that is told of more often."""
    starts = sorted(load.keys() & generation.keys())
    if len(starts) < FEWEST_DAYS:
        starts = sorted(max(load, generation, key=len))
    if len(starts) < FEWEST_DAYS:
        return TYPICAL
    unknown = np.empty(0)
    rows = [[days.get(start, unknown) for start in starts] for days in (load, generation)]
    steps = max(row.size for days in rows for row in days)
    return learn_dependence(_table(rows[0], steps), _table(rows[1], steps), step_minutes / 60)


def _shared(days: Mapping[str, Mapping[datetime, Array]]) -> set[datetime]:
    return days.get("load_kw", {}).keys() & days.get("pv_kw", {}).keys()


def _scores(issued: IssuedForecast, actual: Array) -> Array:
    return normal_scores(actual, issued.quantiles.astype(np.float64), issued.levels)


def _table(days: Sequence[Array], steps: int) -> Array:
    """Days of so many intervals: longer ones are cut, shorter ones end unknown."""  # (D, steps)
    table = np.full((len(days), steps), np.nan)
    for row, day in zip(table, days, strict=True):
        row[: day.size] = day[:steps]
    return table


def _midnight(community: Community, instant: datetime) -> datetime:
    zone = community.timezone or "UTC"
    return local_midnight(local_date(instant, zone), zone)
