"""Whether a community's twin is as sure as it should be, and what is due when it is not: an alert and a new model."""

from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.macro_twin import OBSERVED
from digital_twin.macro_twin.consistency import StreamRecord, judged, late_errors, with_truth
from digital_twin.services.ports import StateTrack
from digital_twin.services.provenance import instant_text
from digital_twin.services.twin_steps import TwinAnswer

CURRENT = timedelta(hours=36)
"""What is told of an interval within so long is of the present: some meters tell of a day on the morning after it."""

REST = timedelta(days=1)
"""So long after an alert there is no other, nor another calibration because of one."""


@dataclass(frozen=True, slots=True)
class Consistency:
    """What is known of a community's streams; kept with its state."""

    streams: dict[str, StreamRecord] = field(default_factory=dict[str, StreamRecord])
    lost_since: datetime | None = None
    told_at: datetime | None = None  # when an alert last said so
    told_of: tuple[str, ...] = ()  # streams that it has told of and that are lost still
    is_to_recalibrate: bool = False

    @property
    def lost(self) -> list[str]:
        """The streams whose errors are not as large as the twin says."""
        return [name for name, record in self.streams.items() if record.is_lost]

    @property
    def widening(self) -> tuple[float, ...]:
        """Of the deviations of each of `OBSERVED`, as late truth has taught."""
        return tuple(self.streams.get(name, StreamRecord()).widening for name in OBSERVED)

    def to_document(self) -> dict[str, Any]:
        """As it is kept."""
        return {
            "streams": {name: asdict(record) for name, record in self.streams.items()},
            "lost_since": None if self.lost_since is None else instant_text(self.lost_since),
            "told_at": None if self.told_at is None else instant_text(self.told_at),
            "told_of": list(self.told_of),
            "is_to_recalibrate": self.is_to_recalibrate,
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> "Consistency":
        """What was kept; nothing is known where nothing was."""
        if not document:
            return cls()
        return cls(
            streams={name: StreamRecord(**record) for name, record in document["streams"].items()},
            lost_since=_instant(document["lost_since"]),
            told_at=_instant(document["told_at"]),
            told_of=tuple(document["told_of"]),
            is_to_recalibrate=document["is_to_recalibrate"],
        )

    def told(self) -> dict[str, Any]:
        """As it is answered."""
        return {
            "is_lost": bool(self.lost),
            "lost_since": None if self.lost_since is None else instant_text(self.lost_since),
            "streams": {
                name: {
                    "is_lost": record.is_lost,
                    "nis": record.nis if record.nis_count else None,
                    "late_truth_nis": record.late_nis if record.late_count else None,
                    "late_truth_coverage": record.covered if record.late_count else None,
                    "late_truth_intervals": round(record.late_count),
                    "widening": record.widening,
                }
                for name, record in self.streams.items()
            },
        }


def widening_told(document: dict[str, Any]) -> tuple[float, ...]:
    """What a state's answer says of it, which may be one of before anything was said."""
    streams = (document.get("consistency") or {}).get("streams", {})
    return tuple(streams[name]["widening"] if name in streams else 1.0 for name in OBSERVED)


def errors_of(earlier: StateTrack | None, answer: TwinAnswer) -> Array:
    """Squared errors of what had been estimated, before this advance, of the first intervals of its grid.

    Only of what was told while it was `CURRENT`: a history that is filled in later corrects nobody.
    """  # (T, 4)
    if earlier is None:
        return np.empty((0, len(OBSERVED)))
    steps = min(earlier.grid.steps, answer.truth.shape[0])
    errors = late_errors(earlier.mean[:steps], earlier.deviation[:steps], answer.truth[:steps], answer.exact)
    errors[~(earlier.told_after_h[:steps] <= CURRENT / timedelta(hours=1))] = np.nan
    return errors


def told_after_h(earlier: StateTrack | None, grid: TimeGrid, now: datetime) -> Array:
    """Hours from the end of each interval to the first estimate of it: now, where there was none."""  # (T,)
    hours: Array = (now - grid.start) / timedelta(hours=1) - grid.step_hours * np.arange(1.0, grid.steps + 1.0)
    if earlier is not None:
        known = earlier.told_after_h[: grid.steps]
        hours[: known.size] = np.fmin(hours[: known.size], known)
    return hours


def after_advance(
    before: Consistency, answer: TwinAnswer, errors: Array, *, week_steps: float, is_anew: bool
) -> Consistency:
    """What is known after an advance that found these errors of earlier estimates.

    A new model may clear a stream, but loses none: it has just learned the best it can. One that an alert asked for
    starts without late truth.
    """
    streams: dict[str, StreamRecord] = {}
    for index, name in enumerate(OBSERVED):
        known = before.streams.get(name, StreamRecord())
        if is_anew and before.is_to_recalibrate:
            known = StreamRecord(is_lost=known.is_lost, widening=known.widening)
        nis, count = float(answer.stream_nis[index]), float(answer.stream_counts[index])
        record = with_truth(replace(known, nis=nis, nis_count=count), errors[:, index], week_steps)
        if known.is_lost or not is_anew:
            record = judged(record, week_steps)
        if record.nis_count or record.late_count:
            streams[name] = record
    after = replace(before, streams=streams, is_to_recalibrate=before.is_to_recalibrate and not is_anew)
    lost_since = (before.lost_since or answer.observed_at) if after.lost else None
    return replace(after, lost_since=lost_since, told_of=tuple(sorted(set(after.lost) & set(before.told_of))))


def untold(consistency: Consistency, now: datetime) -> list[str]:
    """The streams of which an alert is due: those that are lost and of which none has told, once a day at most."""
    if consistency.told_at is not None and now - consistency.told_at < REST:
        return []
    return sorted(set(consistency.lost) - set(consistency.told_of))


def with_alert(consistency: Consistency, now: datetime) -> Consistency:
    """After an alert that told of all that is lost."""
    return replace(consistency, told_at=now, told_of=tuple(sorted(consistency.lost)), is_to_recalibrate=True)


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
