"""How good the forecasts were that were issued, day by day beside what happened and beside the seasonal naive."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.time import local_date
from digital_twin.forecasting.live_accuracy import CONFIDENCE_LEVELS, Accuracy, accuracy_of
from digital_twin.services.access import Grant
from digital_twin.services.forecast_drift import Drift
from digital_twin.services.judged_days import JudgedDay, judged_days
from digital_twin.services.ports import KEPT_FORECASTS, Clock, Store

DEFAULT_SPAN = timedelta(days=28)
LONGEST_SHOWN = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class AccuracyRequest:
    """Which issued forecasts: of the days that begin in [start, end), by default of the last four weeks."""

    start: datetime | None = None
    end: datetime | None = None
    variable: str | None = None


class AccuracyService:
    """Use cases around the accuracy of forecasts in service."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def accuracy(self, grant: Grant, request: AccuracyRequest) -> dict[str, Any]:
        """Of each variable by day and in all. Raises InvalidInput for a span that is empty or too long."""
        start, end = self._span(request, KEPT_FORECASTS)
        async with self._store.community(str(grant.community_id)) as tx:
            community = (await tx.communities.get(str(grant.community_id))).community
            judged = await judged_days(tx, community, start, end, now=self._clock.now())
        zone = community.timezone or "UTC"
        return {
            "start": start,
            "end": end,
            "timezone": zone,
            "variables": {
                variable: _summary(days, zone)
                for variable, days in judged.items()
                if request.variable in (None, variable)
            },
        }

    async def issued(self, grant: Grant, request: AccuracyRequest) -> dict[str, Any]:
        """Each forecast beside what happened. Raises InvalidInput for a span that is empty or too long."""
        start, end = self._span(request, LONGEST_SHOWN)
        async with self._store.community(str(grant.community_id)) as tx:
            community = (await tx.communities.get(str(grant.community_id))).community
            judged = await judged_days(tx, community, start, end, now=self._clock.now())
        zone = community.timezone or "UTC"
        chosen = [days for variable, days in judged.items() if request.variable in (None, variable)]
        return {
            "start": start,
            "end": end,
            "timezone": zone,
            "forecasts": [_beside(day, zone) for days in chosen for day in days],
        }

    async def drift(self, grant: Grant) -> dict[str, Any]:
        """Whether the forecasts of each variable have become worse."""
        async with self._store.community(str(grant.community_id)) as tx:
            care = await tx.issued_forecasts.care()
        kept: Mapping[str, Any] = {} if care is None else care.drift
        return {variable: Drift.from_document(document).told() for variable, document in kept.items()}

    def _span(self, request: AccuracyRequest, longest: timedelta) -> tuple[datetime, datetime]:
        end = request.end or self._clock.now()
        start = request.start or end - min(DEFAULT_SPAN, longest)
        if not start < end:
            raise InvalidInput("start must lie before end", field="start")
        if end - start > longest:
            raise InvalidInput(f"the span must be at most {longest.days} days", field="start")
        return start, end


def _summary(days: Sequence[JudgedDay], zone: str) -> dict[str, Any]:
    """All days that count together, and each day of its own."""
    single = [accuracy_of([] if one.sums is None else [one.sums]) for one in days]
    columns: dict[str, list[Any]] = {"day": [local_date(one.issued.start, zone) for one in days]}
    for row in map(_scores, single):
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    total = accuracy_of([one.sums for one in days if one.sums is not None])
    return {"days": total.days, **_scores(total), "by_day": columns}


def _scores(accuracy: Accuracy) -> dict[str, float | None]:
    return {
        "pinball_loss_kw": accuracy.pinball_loss_kw,
        "naive_pinball_loss_kw": accuracy.naive_pinball_loss_kw,
        "skill": accuracy.skill,
        "nmae": accuracy.nmae,
        **{f"coverage_{100 * level:.0f}": accuracy.coverage[level] for level in CONFIDENCE_LEVELS},
    }


def _beside(day: JudgedDay, zone: str) -> dict[str, Any]:
    issued = day.issued
    known = np.isfinite(day.actual)
    return {
        "variable": issued.variable,
        "day": local_date(issued.start, zone),
        "issued_at": issued.issued_at,
        "model": issued.model,
        "start": issued.start,
        "resolution_minutes": issued.resolution_minutes,
        "mean": issued.mean.tolist(),
        "quantiles": {f"{level:g}": issued.quantiles[:, at].tolist() for at, level in enumerate(issued.levels)},
        "actual": [value if is_known else None for value, is_known in zip(day.actual.tolist(), known, strict=True)],
    }
