"""How a meter file is to be read, as flags say it."""

from dataclasses import dataclass
from typing import Annotated

from digital_twin.cli.flags import flag
from digital_twin.cli.meter_files.choices import Dates, Decimal, Label, Negatives, RepeatedHour
from digital_twin.cli.parameters import comma_separated

WHAT, WHEN, WHERE, DOUBT = "What the values are", "When they were", "Where they stand", "What is doubtful"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """What the user fixes; None is guessed, and refused with a question where a guess could change numbers."""

    series: Annotated[str | None, flag(WHAT, "load_kw, pv_kw, net_load_kw, temperature_c, ...")] = None
    unit: Annotated[str | None, flag(WHAT, "kWh or Wh per interval, kW or W")] = None
    cumulative: Annotated[bool | None, flag(WHAT, "Whether values are a register's count")] = None
    member: Annotated[str | None, flag(WHAT, "The member whose file it is")] = None
    timezone: Annotated[str | None, flag(WHEN, "The zone of times that name none; default: the community's")] = None
    label: Annotated[Label | None, flag(WHEN, "What a time names of its interval")] = None
    resolution_minutes: Annotated[int | None, flag(WHEN, "Minutes per interval", "--resolution")] = None
    dates: Annotated[Dates | None, flag(WHEN, "What 03/04 means")] = None
    repeated_hour: Annotated[
        RepeatedHour | None, flag(WHEN, "In autumn, which hour it is where the file has one of two")
    ] = None
    columns: Annotated[str | None, flag(WHERE, "The columns to take, separated by commas")] = None
    time_column: Annotated[str | None, flag(WHERE, "The times")] = None
    member_column: Annotated[str | None, flag(WHERE, "The members' ids")] = None
    series_column: Annotated[str | None, flag(WHERE, "What the value of each row is")] = None
    import_column: Annotated[str | None, flag(WHERE, "The register of what the grid gave")] = None
    export_column: Annotated[str | None, flag(WHERE, "The register of what the grid took")] = None
    delimiter: Annotated[str | None, flag(WHERE, "Between the cells of CSV")] = None
    decimal: Annotated[Decimal | None, flag(WHERE, "The decimal sign")] = None
    sheet: Annotated[str | None, flag(WHERE, "Of an Excel file; default: the first")] = None
    negatives: Annotated[Negatives, flag(DOUBT, "What becomes of negative loads and generation")] = Negatives.REFUSE
    keep_glitches: Annotated[bool, flag(DOUBT, "Take values far outside the usual", "--keep-glitches")] = False
    community_zone: str | None = None  # no flag: what the community itself says

    @property
    def chosen_columns(self) -> list[str] | None:
        """The columns to take, where some were named."""
        return None if self.columns is None else comma_separated(self.columns)
