"""What an import was told, what it guessed, and what it found."""

from dataclasses import dataclass
from typing import Literal

from digital_twin.domain.readings import SeriesValues

Negatives = Literal["refuse", "clip", "drop"]


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the user fixes; None is guessed, and refused with a question where a guess could change numbers."""

    time_column: str | None = None
    member_column: str | None = None
    series: str | None = None
    unit: str | None = None
    resolution_minutes: int | None = None
    label: Literal["start", "end"] | None = None
    cumulative: bool | None = None
    timezone: str | None = None
    delimiter: str | None = None
    decimal: str | None = None
    sheet: str | None = None
    negatives: Negatives = "refuse"
    keep_glitches: bool = False


@dataclass(frozen=True, slots=True)
class Guess:
    """Something that was concluded from the file, and why."""

    what: str
    value: str
    because: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about the data that whoever imports them should know."""

    kind: str
    series: str
    count: int
    example: str


@dataclass(frozen=True, slots=True)
class MeterFile:
    """Readings ready to be sent, with everything that was guessed and found on the way."""

    columns: tuple[SeriesValues, ...]
    guesses: tuple[Guess, ...]
    findings: tuple[Finding, ...]

    @property
    def members(self) -> list[str]:
        """The members whose readings these are."""
        return sorted({one.key.member_id for one in self.columns if one.key.member_id is not None})

    @property
    def readings(self) -> int:
        """How many values there are."""
        return sum(int((one.values == one.values).sum()) for one in self.columns)
