"""What an import guessed, and what it found."""

from dataclasses import dataclass

from digital_twin.domain.readings import SeriesValues


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


@dataclass(slots=True)
class Notes:
    """What is to be shown, gathered while the file is read."""

    guesses: list[Guess]
    findings: list[Finding]

    def guess(self, what: str, value: str, because: str) -> None:
        """Keep it once."""
        one = Guess(what, value, because)
        if one not in self.guesses:
            self.guesses.append(one)

    def find(self, kind: str, series: str, count: int, example: str) -> None:
        """Keep what concerns at least one reading."""
        if count:
            self.findings.append(Finding(kind, series, int(count), example))


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
