"""Forecasts are looked after: taught and issued each local midnight, then judged; their models are trained anew."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from digital_twin.domain.community import Community
from digital_twin.domain.errors import InsufficientData, NotFound, TwinError, Unavailable
from digital_twin.domain.time import floor_to_step
from digital_twin.forecasting.model_bytes import FORMAT
from digital_twin.forecasting.training import STALE_AFTER
from digital_twin.services.forecast_drift import LONGEST_MEMORY, Day, Drift, follow, promised_loss
from digital_twin.services.issued_forecasts import ForecastIssuer, midnights_due, next_midnight, this_midnight
from digital_twin.services.judged_days import JudgedDay, judged_days
from digital_twin.services.lessons import Teacher
from digital_twin.services.models import ModelService
from digital_twin.services.ports import Clock, ForecastCare, Store, Transaction
from digital_twin.services.provenance import instant_text
from digital_twin.telemetry import FORECAST_ALERTS, FORECAST_RELATIVE_LOSS, get_logger

LOOK_AFTER_FORECASTS = "look_after_forecasts"
"""The name of the jobs that look after one community's forecasts."""

RETRAIN_EVERY_DAYS = 6
"""A trained version serves for a week: the next one is there before."""

_DAY_MINUTES = 1440


class _LookedMeanwhile(Exception):
    """Somebody else has looked after the same forecasts: what was found here is theirs already."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look at the forecasts in service came to."""

    drift: dict[str, Drift]
    is_served: bool  # by some version that is neither stale nor of another format
    degraded: list[str] = field(default_factory=list[str])  # variables whose forecasts were found to be worse just now
    relative_losses: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])  # of days not told before


class ForecastCareService:
    """What the worker does for forecasts without being asked."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        teacher: Teacher,
        issuer: ForecastIssuer,
        models: ModelService,
        retrains: bool,
    ) -> None:
        self._store = store
        self._clock = clock
        self._teacher = teacher
        self._issuer = issuer
        self._models = models
        self._retrains = retrains

    async def due(self) -> list[str]:
        """The communities whose forecasts are to be looked after."""
        async with self._store.platform() as tx:
            return await tx.issued_forecasts.due(self._clock.now())

    async def look_after(self, community_id: str) -> None:
        """Teach, issue what is due, judge what is known, train when it is time. Does nothing before its time.

        Safe from several processes at once: a day keeps its first forecast, and one of them tells what was found.

        Raises:
            Unavailable: the database or a process is away; it stays due.
        """
        now = self._clock.now()
        try:
            async with self._store.community(community_id) as tx:
                community = (await tx.communities.get(community_id)).community
                care = await tx.issued_forecasts.care() or _first_care(community, now)
                care = await _with_history(tx, care, now)
            if care.next_look_at > now:
                return
            midnights = midnights_due(community, care.next_issue_at, now)
            for midnight in midnights:
                await self._begin_day(community_id, midnight)
            async with self._store.community(community_id) as tx:
                finding = await _judge(tx, community, care, now) if midnights else None
                after = await self._with_training(tx, community, _with_finding(community, care, finding, now), now)
                if not await tx.issued_forecasts.keep_care(after):
                    raise _LookedMeanwhile
        except (_LookedMeanwhile, NotFound):
            return
        if finding is not None:
            _measure(finding)

    async def _begin_day(self, community_id: str, midnight: datetime) -> None:
        """What yesterday taught is in today's forecast."""
        for event, begin in (("models_not_taught", self._teacher.teach), ("forecast_not_issued", self._issuer.issue)):
            try:
                await begin(community_id, midnight)
            except (Unavailable, NotFound):
                raise
            except TwinError as error:
                get_logger().warning(event, community=community_id, error=error.message)

    async def _with_training(
        self, tx: Transaction, community: Community, care: ForecastCare, now: datetime
    ) -> ForecastCare:
        """With the training begun that is due, if there is enough to learn from; else it is tried the next day.

        The first one does not wait for the community's time of day; what of a history came too late for it is
        learned from there.
        """
        if not self._retrains:
            return care
        if care.next_training_at <= now:
            is_first = not care.version or care.lacked_history_at is not None
            tomorrow = _slot_after(community, now)
            later = tomorrow if is_first else tomorrow + timedelta(days=RETRAIN_EVERY_DAYS - 1)
            try:
                await self._models.retrain(tx, community)
                care = replace(care, next_training_at=later, lacked_history_at=None)
            except InsufficientData:
                care = replace(care, next_training_at=tomorrow, lacked_history_at=now)
        return replace(care, next_look_at=min(care.next_look_at, care.next_training_at))


async def _judge(tx: Transaction, community: Community, care: ForecastCare, now: datetime) -> Finding:
    """Whether the forecasts of each variable have become worse; what has is told."""
    trained = await tx.trained_models.all()
    is_served = any(one.payload_format == FORMAT and now - one.as_of < STALE_AFTER for one in trained)
    finding = Finding({name: Drift.from_document(document) for name, document in care.drift.items()}, is_served)
    for name, found in (await judged_days(tx, community, now - LONGEST_MEMORY, now, now=now)).items():
        before, days = finding.drift.get(name, Drift()), _compared(found)
        promised = promised_loss(trained, name, found[-1].issued.model)
        after = follow(before, days, promised=promised, now=now)
        finding.relative_losses.extend((name, loss) for loss in _untold(before, days))
        finding.drift[name] = replace(after, observed_until=days[-1][0] if days else before.observed_until)
        if after.is_degraded and not before.is_degraded:
            finding.degraded.append(name)
            await tx.events.add("alert", _alert(name, after))
    return finding


def _compared(found: Sequence[JudgedDay]) -> list[Day]:
    """The days that could be held against the seasonal naive."""
    return [(one.issued.start, one.sums) for one in found if one.sums is not None and one.sums.naive_loss_kw]


def _untold(before: Drift, days: Sequence[Day]) -> list[float]:
    """The relative losses that no look has told the metrics of."""
    return [
        sums.loss_kw / sums.naive_loss_kw
        for start, sums in days
        if sums.naive_loss_kw and (before.observed_until is None or start > before.observed_until)
    ]


def _alert(variable: str, drift: Drift) -> dict[str, Any]:
    assert drift.degraded_since is not None
    return {
        "about": "forecast_accuracy",
        "variable": variable,
        "degraded_since": instant_text(drift.degraded_since),
        "relative_loss": drift.relative_loss,
        "relative_loss_before": drift.relative_loss_before,
    }


def _with_finding(community: Community, care: ForecastCare, finding: Finding | None, now: datetime) -> ForecastCare:
    """What was found, and when the next look is; what is worse, or served by no version, is trained within a day."""
    midnight = next_midnight(community, now)
    care = replace(care, next_issue_at=midnight, next_look_at=midnight)
    if finding is None:
        return care
    care = replace(care, drift={name: drift.to_document() for name, drift in finding.drift.items()})
    if finding.is_served and not finding.degraded:
        return care
    return replace(care, next_training_at=min(care.next_training_at, _slot_after(community, now)))


def _measure(finding: Finding) -> None:
    """Tell the metrics of a look that is committed."""
    for name, loss in finding.relative_losses:
        FORECAST_RELATIVE_LOSS.labels(name).observe(loss)
    for name in finding.degraded:
        FORECAST_ALERTS.labels(name).inc()


def _first_care(community: Community, now: datetime) -> ForecastCare:
    """Of a community that nobody has looked at: the day that it is gets its forecast, too."""
    return ForecastCare(now, this_midnight(community, now), now, {})


async def _with_history(tx: Transaction, care: ForecastCare, now: datetime) -> ForecastCare:
    """To be trained at once where the history that a training lacked has come."""
    lacked_at = care.lacked_history_at
    if lacked_at is None or not await tx.issued_forecasts.history_came(lacked_at):
        return care
    return replace(care, next_look_at=now, next_training_at=now)


def _slot_after(community: Community, instant: datetime) -> datetime:
    """The community's own time of day, by which trainings are spread, the first time after this instant."""
    digest = hashlib.sha256(community.community_id.encode()).digest()
    slot = timedelta(minutes=int.from_bytes(digest[:4]) % _DAY_MINUTES)
    first = floor_to_step(instant, _DAY_MINUTES) + slot
    return first if first > instant else first + timedelta(days=1)
