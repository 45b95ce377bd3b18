"""`digital-twin import` and `export`: readings from files to the twin and back."""

import sys
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from digital_twin.cli.parameters import CommunityOption, Url, comma_separated, instant
from digital_twin.domain import errors


class Label(StrEnum):
    """What a time names of its interval."""

    START = "start"
    END = "end"


class Negatives(StrEnum):
    """What becomes of values below zero where there are none."""

    REFUSE = "refuse"
    CLIP = "clip"
    DROP = "drop"


class RepeatedHour(StrEnum):
    """Which pass an hour belongs to that the file has once and the clock twice."""

    FIRST = "first"
    SECOND = "second"


class Dates(StrEnum):
    """The order of day and month."""

    DAY_FIRST = "day-first"
    MONTH_FIRST = "month-first"


class Decimal(StrEnum):
    """The decimal sign."""

    POINT = "."
    COMMA = ","


WHAT, WHEN, WHERE, DOUBT = "What the values are", "When they were", "Where they stand", "What is doubtful"


def import_readings(  # noqa: PLR0913  each is a flag
    file: Annotated[
        Path, typer.Argument(help="CSV, Parquet or XLSX; one column per home, or one row per home and time")
    ],
    community: CommunityOption,
    series: Annotated[
        str | None, typer.Option(help="load_kw, pv_kw, net_load_kw, temperature_c, ...", rich_help_panel=WHAT)
    ] = None,
    unit: Annotated[str | None, typer.Option(help="kWh or Wh per interval, kW or W", rich_help_panel=WHAT)] = None,
    cumulative: Annotated[
        bool | None, typer.Option(help="Whether values are a register's count", rich_help_panel=WHAT)
    ] = None,
    member: Annotated[str | None, typer.Option(help="The member whose file it is", rich_help_panel=WHAT)] = None,
    timezone: Annotated[
        str | None,
        typer.Option(help="The zone of times that name none; default: the community's", rich_help_panel=WHEN),
    ] = None,
    label: Annotated[Label | None, typer.Option(help="What a time names of its interval", rich_help_panel=WHEN)] = None,
    resolution: Annotated[int | None, typer.Option(help="Minutes per interval", rich_help_panel=WHEN)] = None,
    dates: Annotated[Dates | None, typer.Option(help="What 03/04 means", rich_help_panel=WHEN)] = None,
    repeated_hour: Annotated[
        RepeatedHour | None,
        typer.Option(help="In autumn, which hour it is where the file has one of two", rich_help_panel=WHEN),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="The columns to take, separated by commas", rich_help_panel=WHERE)
    ] = None,
    time_column: Annotated[str | None, typer.Option(help="The times", rich_help_panel=WHERE)] = None,
    member_column: Annotated[str | None, typer.Option(help="The members' ids", rich_help_panel=WHERE)] = None,
    series_column: Annotated[
        str | None, typer.Option(help="What the value of each row is", rich_help_panel=WHERE)
    ] = None,
    import_column: Annotated[
        str | None, typer.Option(help="The register of what the grid gave", rich_help_panel=WHERE)
    ] = None,
    export_column: Annotated[
        str | None, typer.Option(help="The register of what the grid took", rich_help_panel=WHERE)
    ] = None,
    delimiter: Annotated[str | None, typer.Option(help="Between the cells of CSV", rich_help_panel=WHERE)] = None,
    decimal: Annotated[Decimal | None, typer.Option(help="The decimal sign", rich_help_panel=WHERE)] = None,
    sheet: Annotated[
        str | None, typer.Option(help="Of an Excel file; default: the first", rich_help_panel=WHERE)
    ] = None,
    negatives: Annotated[
        Negatives, typer.Option(help="What becomes of negative loads and generation", rich_help_panel=DOUBT)
    ] = Negatives.REFUSE,
    keep_glitches: Annotated[
        bool, typer.Option("--keep-glitches", help="Take values far outside the usual", rich_help_panel=DOUBT)
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be imported", rich_help_panel=DOUBT)
    ] = False,
    url: Url = None,
) -> None:
    """Import a meter file; shows what it guessed, and asks by a flag where a guess would change numbers."""
    from digital_twin.cli import import_report, output
    from digital_twin.cli.credentials import connect
    from digital_twin.cli.guesses import ImportOptions
    from digital_twin.cli.meter_file import read_meter_file
    from digital_twin.cli.upload import upload

    zone = _community_zone(community, url, is_needed=not dry_run)
    options = ImportOptions(
        time_column=time_column, member_column=member_column, series_column=series_column,
        import_column=import_column, export_column=export_column,
        columns=None if columns is None else tuple(comma_separated(columns)),
        member=member, series=series, unit=unit, resolution_minutes=resolution,
        label=None if label is None else label.value, cumulative=cumulative, timezone=timezone,
        repeated_hour=None if repeated_hour is None else repeated_hour.value,
        dates=None if dates is None else dates.value, delimiter=delimiter,
        decimal=None if decimal is None else decimal.value, sheet=sheet, negatives=negatives.value,
        keep_glitches=keep_glitches, community_zone=zone,
    )  # fmt: skip
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
            return str(client.community(community)["timezone"])
    except (errors.NotAllowed, errors.Unavailable):
        if is_needed:
            raise
        return None


def export_readings(  # noqa: PLR0913  each is a flag
    community: CommunityOption,
    series: Annotated[str, typer.Option(help="Names, separated by commas")],
    start: Annotated[datetime, typer.Option(help="UTC unless it says otherwise", parser=instant, metavar="TIME")],
    end: Annotated[datetime, typer.Option(help="UTC unless it says otherwise", parser=instant, metavar="TIME")],
    member: Annotated[str | None, typer.Option(help="One member's series")] = None,
    output: Annotated[Path | None, typer.Option(help="A file; default: standard output")] = None,
    url: Url = None,
) -> None:
    """Write readings as CSV, in a form that import takes without a flag."""
    from digital_twin.cli.credentials import connect

    with connect(url) as client:
        text = client.readings_csv(community, comma_separated(series), start, end, member_id=member)
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8", newline="")
