"""Batches of readings on their way in: part by part, what cannot be believed is named."""

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.readings import Receipt, Rejection, SeriesValues, are_plain, check_readings
from digital_twin.telemetry import READINGS

REFUSALS_NAMED = 1_000


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a batch is to be taken: once by its key, known since when, and as a whole or what is good of it."""

    idempotency_key: str | None = None
    fingerprint: bytes = b""
    assumed_delay: timedelta | None = None
    lenient: bool = False


PLAIN = Delivery()
"""Now, and all or nothing."""


def in_columns(index: int, offset: int) -> str:
    """Where a value stands among columns of series."""
    return f"series.{index}.values.{offset}"


def pointer(field: str) -> str:
    """A place in a body as problems point to it."""
    return "/" + field.replace(".", "/")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reading that was refused, and the pointer to where it stood."""

    rejection: Rejection
    position: str

    def as_document(self) -> dict[str, str | None]:
        """Whose it is, when it was, where it stood and why it was refused."""
        key = self.rejection.key
        ids = {"series": key.name, "member_id": key.member_id, "asset_id": key.asset_id}
        start, reason = self.rejection.start.isoformat(), self.rejection.reason
        return {**ids, "start": start, "position": self.position, "reason": reason}


@dataclass(frozen=True, slots=True, eq=False)
class ReadingPart:
    """Readings of a body, or of a part of it."""

    readings: Sequence[SeriesValues]
    field: Callable[[int, int], str] = in_columns
    """Where a value stood in the body, by the place of its series and its own place in that."""
    misplaced: Sequence[Refusal] = ()
    """Readings of no interval, which are not among the others."""


async def one_part(readings: Sequence[SeriesValues]) -> AsyncGenerator[ReadingPart, None]:
    """Readings that come all together."""
    yield ReadingPart(readings)


class Sieve:
    """Lets the believable readings of a batch through, and notes the others."""

    def __init__(self, now: datetime, *, lenient: bool) -> None:
        self._now = now
        self._lenient = lenient
        self.refused: list[Refusal] = []
        """The first ones."""
        self.refused_count = 0

    async def believable(self, parts: AsyncIterable[ReadingPart]) -> AsyncGenerator[Sequence[SeriesValues], None]:
        """The parts without what cannot be; unless lenient, none any more from the first refused reading on.

        Raises:
            InvalidInput: at the end, when something was refused and it is not lenient; all of it is named.
        """
        async for part in parts:
            self._note(part.misplaced)
            kept: Sequence[SeriesValues] = part.readings
            if not are_plain(part.readings, self._now):
                kept = [self._check(part, index, series) for index, series in enumerate(part.readings)]
            if self._lenient or not self.refused:
                yield kept
        if self.refused and not self._lenient:
            READINGS.labels("rejected").inc(self.refused_count)
            raise self._problem()

    def _check(self, part: ReadingPart, index: int, series: SeriesValues) -> SeriesValues:
        kept, rejections = check_readings(series, self._now)
        named = rejections[: REFUSALS_NAMED - len(self.refused)]
        offsets = [(one.start - series.grid.start) // series.grid.step for one in named]
        self._note([Refusal(one, pointer(part.field(index, at))) for one, at in zip(named, offsets, strict=True)])
        self.refused_count += len(rejections) - len(named)
        return kept

    def _note(self, refusals: Sequence[Refusal]) -> None:
        self.refused_count += len(refusals)
        self.refused += refusals[: REFUSALS_NAMED - len(self.refused)]

    def _problem(self) -> InvalidInput:
        first = self.refused[0].rejection.reason
        were = "1 reading was" if self.refused_count == 1 else f"{self.refused_count} readings were"
        return InvalidInput(
            f"{were} refused, so that nothing is stored ({first}); mend what errors names, or have the others stored "
            "with Prefer: handling=lenient",
            errors=[_named(one) for one in self.refused],
            rejected_count=self.refused_count,
        )


def _named(refusal: Refusal) -> dict[str, str | None]:
    """As an entry of a problem's errors."""
    document = refusal.as_document()
    return {"in": "body", "pointer": document.pop("position"), "detail": document.pop("reason"), **document}


def count_readings(receipt: Receipt, rejected: int) -> None:
    """Tell the metrics what became of a batch."""
    if receipt.replayed:
        return
    for outcome in ("stored", "duplicate", "corrected", "superseded"):
        READINGS.labels(outcome).inc(getattr(receipt, outcome))
    READINGS.labels("rejected").inc(rejected)
