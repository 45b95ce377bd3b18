"""What each channel is: a series in a unit, or a register of the grid meter, of a member or of the community."""

from collections import Counter
from dataclasses import dataclass, replace

from digital_twin.cli.meter_files.channels import Channel, Layout
from digital_twin.cli.meter_files.guesses import Notes
from digital_twin.cli.meter_files.options import ImportOptions
from digital_twin.cli.meter_files.words import (
    Meaning,
    Role,
    canonical_unit_name,
    identifier,
    meaning_of,
    member_of_name,
)
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.readings import COMMUNITY_SERIES
from digital_twin.domain.units import SeriesKind, canonical_unit

_SERIES: dict[Role, str] = {"load": "load_kw", "pv": "pv_kw", "net": "net_load_kw"}
_FITTING: dict[str, tuple[Role, ...]] = {
    "load_kw": ("load", "import"),
    "pv_kw": ("pv", "export"),
    "net_load_kw": ("net", "load", "import"),
}
ENERGY_UNITS, POWER_UNITS = ("kWh", "Wh", "MWh"), ("kW", "W", "MW")


@dataclass(frozen=True, slots=True, eq=False)
class Assigned:
    """A channel with what it is."""

    channel: Channel
    series: str | None  # None for a register, which only becomes one together with the others
    role: Role | None
    member: str | None
    unit: str
    kind: SeriesKind

    @property
    def who(self) -> str:
        return self.member or self.series or self.channel.name


def assign(channels: list[Channel], layout: Layout, options: ImportOptions, notes: Notes) -> list[Assigned]:
    """What each channel is.

    Raises:
        InvalidInput: with the flag that would tell, where a name does not.
    """
    meanings = {channel.name: _meaning(channel, options) for channel in channels}
    series = {name: _series_of(name, meaning, options, notes) for name, meaning in meanings.items()}
    members = _members_of(series, meanings, layout, options, notes)
    _refuse_one_unit_for_all(meanings, options)
    assigned: list[Assigned] = []
    for channel in channels:
        name = series[channel.name]
        role = meanings[channel.name].role
        unit, kind = _unit_of(channel, name or "net_load_kw", meanings[channel.name].unit, options, notes)
        member = channel.member or members[channel.name]
        assigned.append(Assigned(channel, name, role if name is None else None, member, unit, kind))
    return assigned


def _meaning(channel: Channel, options: ImportOptions) -> Meaning:
    meaning = meaning_of(channel.name)
    for role, column in (("import", options.import_column), ("export", options.export_column)):
        if channel.name == column:
            return replace(meaning, role=role, word=f"--{role}-column", rest="")  # type: ignore[arg-type]
    return meaning


def _series_of(name: str, meaning: Meaning, options: ImportOptions, notes: Notes) -> str | None:
    """The series of a channel; None for a register."""
    if name in COMMUNITY_SERIES and options.series in (None, name):
        return name
    role = meaning.role
    if options.series is not None:
        fitting = _FITTING.get(options.series)
        if role is not None and fitting is not None and role not in fitting:
            raise InvalidInput(
                f"the column {name!r} does not sound like {options.series}; choose with --columns, or leave out "
                "--series where the names say what they are",
                field="series",
            )
        return options.series
    if role is None:
        raise InvalidInput(
            f"what does the column {name!r} hold? say --series load_kw, pv_kw or net_load_kw for the file, "
            "or choose with --columns",
            field="series",
        )
    if role in ("import", "export"):
        notes.guess(f"column {name}", f"{role} register", f"it says {meaning.word}")
        return None
    notes.guess(f"column {name}", _SERIES[role], f"its name says {meaning.word}")
    return _SERIES[role]


def _members_of(
    series: dict[str, str | None], meanings: dict[str, Meaning], layout: Layout, options: ImportOptions, notes: Notes
) -> dict[str, str | None]:
    """In a wide file, the member that each column's name tells."""
    kinds = Counter(series[name] or meanings[name].role for name in series)
    if layout.member is not None or options.member is not None:
        if max(kinds.values()) > 1:
            _refuse_twice(series, meanings)
        return dict.fromkeys(series, None if options.member is None else identifier(options.member))
    names_members = any(any(letter.isdigit() for letter in meanings[name].rest) for name in series)
    if max(kinds.values()) == 1 and (not names_members or len(series) == 1):
        return dict.fromkeys(series, None)
    members: dict[str, str | None] = {}
    taken: dict[tuple[str, str | None], str] = {}
    for name, meaning in meanings.items():
        told = member_of_name(name) if meaning.role is None else (meaning.rest and identifier(meaning.rest))
        if not told:
            _refuse_twice(series, meanings)
        member = str(told)
        other = taken.setdefault((member, series[name] or meaning.role), name)
        if other != name:
            raise InvalidInput(f"the columns {other!r} and {name!r} would both be {member!r}", field="columns")
        members[name] = member
    notes.guess("layout", "wide, a member per column", "the names differ by member")
    return members


def _refuse_twice(series: dict[str, str | None], meanings: dict[str, Meaning]) -> None:
    by_kind: dict[str | None, list[str]] = {}
    for name in series:
        by_kind.setdefault(series[name] or meanings[name].role, []).append(name)
    same = next(names for names in by_kind.values() if len(names) == max(map(len, by_kind.values())))
    raise InvalidInput(
        f"the columns {', '.join(map(repr, same[:3]))} would all be the same series; choose one with --columns",
        field="columns",
    )


def _refuse_one_unit_for_all(meanings: dict[str, Meaning], options: ImportOptions) -> None:
    said = sorted({meaning.unit for meaning in meanings.values() if meaning.unit is not None})
    if options.unit is not None and len(said) > 1:
        raise InvalidInput(
            f"the columns are in {' and '.join(said)}: leave out --unit, or choose columns with --columns", field="unit"
        )


def _unit_of(
    channel: Channel, series: str, said: str | None, options: ImportOptions, notes: Notes
) -> tuple[str, SeriesKind]:
    canonical, kind = canonical_unit(series)
    if canonical not in ("kW", "kWh"):
        return options.unit or channel.unit or canonical, kind
    found = said if channel.unit is None else canonical_unit_name(channel.unit)
    unit = found if options.unit is None else canonical_unit_name(options.unit)
    if unit is None:
        raise InvalidInput(
            f"in which unit is {channel.name!r}? say --unit kWh (energy per interval), Wh, kW or W", field="unit"
        )
    if unit not in (*ENERGY_UNITS, *POWER_UNITS):
        raise InvalidInput(f"the unit must be kWh, Wh, MWh, kW, W or MW, got {unit!r}", field="unit")
    if options.unit is None:
        because = "the column of units says so" if channel.unit is not None else "its name says so"
        energy = "what is stored then" if kind is SeriesKind.INSTANT else "energy per interval"
        meant = f"{unit}, {energy if unit in ENERGY_UNITS else 'mean power'}"
        notes.guess(f"unit of {channel.name}", meant, because)
    elif found is not None and found != unit:
        notes.guess(f"unit of {channel.name}", unit, f"--unit says so, against its name, which says {found}")
    if kind is SeriesKind.INSTANT:
        return unit, kind
    return unit, SeriesKind.ENERGY if unit in ENERGY_UNITS else SeriesKind.MEAN
