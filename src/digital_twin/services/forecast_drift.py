"""Whether a community's forecasts have become worse, and what is due when they have: an alert and a new training."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from digital_twin.forecasting.drift import EVIDENCE_NEEDED, evidence_of, find_change
from digital_twin.forecasting.live_accuracy import DaySums, accuracy_of
from digital_twin.services.ports import TrainedVersion
from digital_twin.services.provenance import instant_text

LONGEST_MEMORY, SHORTEST_MEMORY = timedelta(days=365), timedelta(days=90)
"""Days are compared with those of a year at most; when it is over the last of them stay."""

RECOVERY_DAYS, NEW_NORMAL_DAYS = 7, 28
"""So many days after an alarm tell whether it is over; after so many what is worse is how it is from now on."""

Day = tuple[datetime, DaySums]
"""When a day began, and what it came to."""


@dataclass(frozen=True, slots=True)
class Drift:
    """Of one variable's forecasts; a relative loss is a share of the seasonal naive's."""

    counted_from: datetime | None = None
    days: int = 0
    evidence: float = 0.0
    relative_loss: float | None = None  # since the change, or over all days counted
    relative_loss_before: float | None = None
    degraded_since: datetime | None = None
    noticed_at: datetime | None = None
    observed_until: datetime | None = None  # the days that were counted into the metric

    @property
    def is_degraded(self) -> bool:
        return self.degraded_since is not None

    def to_document(self) -> dict[str, Any]:
        """As it is kept."""
        return {
            name: instant_text(value) if isinstance(value, datetime) else value for name, value in asdict(self).items()
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> "Drift":
        """What was kept."""
        fields: dict[str, Any] = dict(document)
        for name in ("counted_from", "degraded_since", "noticed_at", "observed_until"):
            fields[name] = None if fields[name] is None else datetime.fromisoformat(fields[name])
        return cls(**fields)

    def told(self) -> dict[str, Any]:
        """As it is answered."""
        return {
            "is_degraded": self.is_degraded,
            "degraded_since": self.degraded_since,
            "counted_from": self.counted_from,
            "days": self.days,
            "relative_loss": self.relative_loss,
            "relative_loss_before": self.relative_loss_before,
            "evidence": self.evidence,
            "evidence_needed": EVIDENCE_NEEDED,
        }


def follow(before: Drift, judged: Sequence[Day], *, promised: float | None, now: datetime) -> Drift:
    """What is known with these days, oldest first; those without the naive's loss tell nothing.

    Args:
        promised: the relative loss that the model in service was trained with; what is as good is not degraded.
    """
    judged = [(start, sums) for start, sums in judged if sums.naive_loss_kw]
    drift = _since_then(before, judged, now)
    days = [(start, sums) for start, sums in judged if drift.counted_from is None or start >= drift.counted_from]
    if not days:
        return replace(drift, days=0, evidence=0.0, relative_loss=None)
    if drift.is_degraded:
        since = [sums for start, sums in days if drift.degraded_since is None or start >= drift.degraded_since]
        return replace(drift, days=len(days), relative_loss=_pooled(since))
    relative = np.array([_pooled([sums]) for _, sums in days], dtype=np.float64)
    drift = replace(
        drift,
        counted_from=days[0][0],
        days=len(days),
        evidence=float(evidence_of(relative)[-1]),
        relative_loss=_pooled([sums for _, sums in days]),
    )
    change = find_change(relative)
    if change is None:
        return drift
    earlier = _pooled([sums for _, sums in days[: change.since]])
    later = _pooled([sums for _, sums in days[change.since :]])
    if promised is not None and later is not None and later <= promised:
        return drift
    return replace(
        drift,
        relative_loss=later,
        relative_loss_before=earlier,
        degraded_since=days[change.since][0],
        noticed_at=days[change.noticed][0],
    )


def promised_loss(trained: Sequence[TrainedVersion], variable: str, label: str) -> float | None:
    """The relative loss that the newest version of the model of this label was trained with."""
    model = label.partition(",")[0]
    for one in trained:
        if (one.variable, one.model) == (variable, model):
            naive = one.scores["seasonal_naive"]["pinball_loss_kw"]
            return one.scores["model"]["pinball_loss_kw"] / naive if naive else None
    return None


def _since_then(drift: Drift, judged: Sequence[Day], now: datetime) -> Drift:
    """Without an alarm that is over, and without days of too long ago."""
    if drift.noticed_at is not None:
        after = [(start, sums) for start, sums in judged if start > drift.noticed_at]
        if not _is_over(drift, [sums for _, sums in after]):
            return drift
        return Drift(counted_from=after[0][0], observed_until=drift.observed_until)
    if drift.counted_from is not None and now - drift.counted_from > LONGEST_MEMORY:
        return replace(drift, counted_from=now - SHORTEST_MEMORY)
    return drift


def _is_over(drift: Drift, after: Sequence[DaySums]) -> bool:
    """Whether the days since the alarm are nearer to those before the change than to those that raised it."""
    if len(after) >= NEW_NORMAL_DAYS:
        return True
    if len(after) < RECOVERY_DAYS or drift.relative_loss is None or drift.relative_loss_before is None:
        return False
    recent = _pooled(after[-RECOVERY_DAYS:])
    return recent is not None and recent <= (drift.relative_loss + drift.relative_loss_before) / 2


def _pooled(days: Sequence[DaySums]) -> float | None:
    skill = accuracy_of(days).skill
    return None if skill is None else 1 - skill
