"""`digital-twin import` and `export`: readings from files to the twin and back."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from digital_twin.cli.meter_files.choices import Dates, Decimal, Label, Negatives, RepeatedHour
from digital_twin.cli.parameters import CommunityOption, Url, comma_separated, instant
from digital_twin.domain import errors


def _flag(panel: str, text: str, *names: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel)


WHAT, WHEN, WHERE, DOUBT = "What the values are", "When they were", "Where they stand", "What is doubtful"

File = Annotated[
    Path, typer.Argument(help="CSV, Parquet, Arrow or XLSX; one column per home, or one row per home and time")
]
SeriesName = Annotated[str | None, _flag(WHAT, "load_kw, pv_kw, net_load_kw, temperature_c, ...")]
Unit = Annotated[str | None, _flag(WHAT, "kWh or Wh per interval, kW or W")]
Cumulative = Annotated[bool | None, _flag(WHAT, "Whether values are a register's count")]
MemberId = Annotated[str | None, _flag(WHAT, "The member whose file it is")]
Timezone = Annotated[str | None, _flag(WHEN, "The zone of times that name none; default: the community's")]
LabelFlag = Annotated[Label | None, _flag(WHEN, "What a time names of its interval")]
Resolution = Annotated[int | None, _flag(WHEN, "Minutes per interval")]
DatesFlag = Annotated[Dates | None, _flag(WHEN, "What 03/04 means")]
RepeatedHourFlag = Annotated[
    RepeatedHour | None, _flag(WHEN, "In autumn, which hour it is where the file has one of two")
]
Columns = Annotated[str | None, _flag(WHERE, "The columns to take, separated by commas")]
TimeColumn = Annotated[str | None, _flag(WHERE, "The times")]
MemberColumn = Annotated[str | None, _flag(WHERE, "The members' ids")]
SeriesColumn = Annotated[str | None, _flag(WHERE, "What the value of each row is")]
ImportColumn = Annotated[str | None, _flag(WHERE, "The register of what the grid gave")]
ExportColumn = Annotated[str | None, _flag(WHERE, "The register of what the grid took")]
Delimiter = Annotated[str | None, _flag(WHERE, "Between the cells of CSV")]
DecimalFlag = Annotated[Decimal | None, _flag(WHERE, "The decimal sign")]
Sheet = Annotated[str | None, _flag(WHERE, "Of an Excel file; default: the first")]
NegativesFlag = Annotated[Negatives, _flag(DOUBT, "What becomes of negative loads and generation")]
KeepGlitches = Annotated[bool, _flag(DOUBT, "Take values far outside the usual", "--keep-glitches")]
DryRun = Annotated[bool, _flag(DOUBT, "Show what would be imported", "--dry-run")]


def import_readings(  # noqa: PLR0913  each is a flag
    file: File,
    community: CommunityOption,
    series: SeriesName = None,
    unit: Unit = None,
    cumulative: Cumulative = None,
    member: MemberId = None,
    timezone: Timezone = None,
    label: LabelFlag = None,
    resolution: Resolution = None,
    dates: DatesFlag = None,
    repeated_hour: RepeatedHourFlag = None,
    columns: Columns = None,
    time_column: TimeColumn = None,
    member_column: MemberColumn = None,
    series_column: SeriesColumn = None,
    import_column: ImportColumn = None,
    export_column: ExportColumn = None,
    delimiter: Delimiter = None,
    decimal: DecimalFlag = None,
    sheet: Sheet = None,
    negatives: NegativesFlag = Negatives.REFUSE,
    keep_glitches: KeepGlitches = False,
    dry_run: DryRun = False,
    url: Url = None,
) -> None:
    """Import a meter file; shows what it guessed, and asks by a flag where a guess would change numbers."""
    from digital_twin.cli.meter_files.guesses import ImportOptions

    options = ImportOptions(
        time_column=time_column, member_column=member_column, series_column=series_column,
        import_column=import_column, export_column=export_column,
        columns=None if columns is None else tuple(comma_separated(columns)),
        member=member, series=series, unit=unit, resolution_minutes=resolution, label=label, cumulative=cumulative,
        timezone=timezone, repeated_hour=repeated_hour, dates=dates, delimiter=delimiter, decimal=decimal, sheet=sheet,
        negatives=negatives, keep_glitches=keep_glitches,
        community_zone=_community_zone(community, url, is_needed=not dry_run),
    )  # fmt: skip
    _import(file, community, options, url, dry_run=dry_run)


def _import(file: Path, community: str, options: Any, url: str | None, *, dry_run: bool) -> None:
    from digital_twin.cli import import_report, output
    from digital_twin.cli.credentials import connect
    from digital_twin.cli.meter_files.meter_file import read_meter_file
    from digital_twin.cli.upload import upload

    read = read_meter_file(file, options)
    import_report.show_meter_file(read)
    if dry_run:
        output.console.print("nothing was sent; leave out --dry-run to import")
        return
    with connect(url) as client, output.progress("sending", sum(one.values.size for one in read.columns)) as advance:
        counts, reasons = upload(client, community, read, advance)
    import_report.show_counts(counts, reasons)


def _community_zone(community: str, url: str | None, *, is_needed: bool) -> str | None:
    """The community's zone; also tells before a long file is read that it is there."""
    from digital_twin.cli.credentials import connect

    try:
        with connect(url) as client:
            return client.community(community)["timezone"]  # none where the community names none
    except (errors.NotAllowed, errors.Unavailable) as error:
        if is_needed and (error.kind != errors.NotAllowed.kind):  # a key may be there to write readings alone
            raise
        return None


def export_readings(  # noqa: PLR0913  each is a flag
    community: CommunityOption,
    series: Annotated[str, typer.Option(help="Names, separated by commas")],
    start: Annotated[datetime, typer.Option(help="UTC unless it says otherwise", parser=instant, metavar="TIME")],
    end: Annotated[datetime, typer.Option(help="UTC unless it says otherwise", parser=instant, metavar="TIME")],
    member: Annotated[str | None, typer.Option(help="One member's series")] = None,
    output: Annotated[
        Path | None, typer.Option(help=".csv, .parquet or .arrow; default: CSV on standard output")
    ] = None,
    url: Url = None,
) -> None:
    """Write readings as CSV, Parquet or Arrow, of any length, in a form that import takes without a flag."""
    from digital_twin.cli.credentials import connect

    media_type = _MEDIA_TYPES.get(".csv" if output is None else output.suffix.lower())
    if media_type is None:
        raise errors.InvalidInput(f"--output must end in {', '.join(_MEDIA_TYPES)}", field="output")
    with connect(url) as client, _written(output) as file:
        client.download(
            community, comma_separated(series), start, end, file=file, media_type=media_type, member_id=member
        )


_MEDIA_TYPES = {
    ".csv": "text/csv",
    ".parquet": "application/vnd.apache.parquet",
    ".arrow": "application/vnd.apache.arrow.stream",
}


@contextmanager
def _written(path: Path | None) -> Generator[BinaryIO]:
    """A file that bears its name only when it is whole, or standard output."""
    if path is None:
        yield sys.stdout.buffer
        return
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
