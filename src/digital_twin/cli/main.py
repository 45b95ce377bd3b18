"""`digital-twin`: everything that talks to a server goes through the client; serve, migrate and admin work here.

Heavy modules are imported inside the commands, so that `--help` answers at once.
"""

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from digital_twin.domain import errors

app = typer.Typer(help="The digital twin that energy communities run on.", no_args_is_help=True, add_completion=False)
admin = typer.Typer(help="Accounts of this installation.", no_args_is_help=True)
app.add_typer(admin, name="admin")

EXIT_CODES: dict[type[errors.TwinError], int] = {
    errors.InvalidInput: 2,
    errors.NotFound: 3,
    errors.Conflict: 4,
    errors.NotAllowed: 5,
    errors.InsufficientData: 6,
    errors.Infeasible: 7,
    errors.Unavailable: 8,
}

Home = Annotated[Path | None, typer.Option(help="Where an embedded installation keeps its data")]
Url = Annotated[str | None, typer.Option(help="The server; default: the one of the last log-in")]
CommunityOption = Annotated[str, typer.Option("--community", help="The community's id")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON")]


def main() -> None:
    """Run the command line; an error is one sentence and an exit code of its own kind."""
    try:
        app()
    except errors.TwinError as error:
        from digital_twin.cli.output import error_console

        error_console.print(f"[bold red]{error.kind}[/]: ", end="")
        error_console.print(error.message, markup=False, highlight=False)
        sys.exit(exit_code(error))


def exit_code(error: errors.TwinError) -> int:
    """The exit code of the closest ancestor that has one."""
    return next((EXIT_CODES[cls] for cls in type(error).__mro__ if cls in EXIT_CODES), 1)


@app.command()
def serve(
    home: Home = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on (API_HOST)")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on (API_PORT)")] = None,
    no_dashboard: Annotated[bool, typer.Option("--no-dashboard", help="Serve the API alone")] = False,
) -> None:
    """Start the API with its database; an embedded one unless DATABASE_URL names another."""
    import uvicorn

    from digital_twin.api.main import create_app
    from digital_twin.bootstrap import read_settings

    settings = read_settings(digital_twin_home=home, api_host=host, api_port=port)
    del no_dashboard  # the API is all there is to serve so far
    uvicorn.run(
        create_app(settings),
        host=settings.api_host,
        port=settings.api_port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
    )


@app.command()
def demo(
    home: Annotated[Path | None, typer.Option(help="Where the demo keeps its data")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the API; default: 8000 or a free one")
    ] = None,
    leave: Annotated[bool, typer.Option("--exit", help="End after the report instead of serving on")] = False,
) -> None:
    """Show it all: a community with a history, its forecast and its plan; then serve until Ctrl-C."""
    from digital_twin.cli.demo import run_demo

    run_demo(home, port, leave=leave)


@app.command()
def migrate(home: Home = None) -> None:
    """Bring the database to the schema of this version."""
    import asyncio

    from digital_twin.bootstrap import migrate_database, read_settings
    from digital_twin.cli.output import console

    asyncio.run(migrate_database(read_settings(digital_twin_home=home)))
    console.print("the database has the schema of this version")


@admin.command("create")
def create_admin(
    username: Annotated[str, typer.Option()],
    email: Annotated[str, typer.Option()],
    home: Home = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input")
    ] = False,
) -> None:
    """Create an administrator."""
    import asyncio

    from digital_twin.bootstrap import create_administrator, read_settings
    from digital_twin.cli.output import console

    password = sys.stdin.readline().rstrip("\n") if password_stdin else _ask_password(twice=True)
    settings = read_settings(digital_twin_home=home)
    asyncio.run(create_administrator(settings, username=username, email=email, password=password))
    console.print(f"administrator {username} may now log in")


@app.command()
def login(
    username: Annotated[str, typer.Option(prompt=True)],
    url: Annotated[str | None, typer.Option(help="The server")] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input")
    ] = False,
) -> None:
    """Sign in; the tokens are kept in a file that only you can read."""
    from digital_twin.cli.credentials import DEFAULT_URL, SavedLogin
    from digital_twin.cli.output import console
    from digital_twin.client import TwinClient

    server = url or DEFAULT_URL
    password = sys.stdin.readline().rstrip("\n") if password_stdin else _ask_password()
    with TwinClient(server) as client:
        SavedLogin(server, client.login(username, password)).save()
        me = client.me()
    console.print(f"signed in at {server} as {me['username']} ({me['role']})")


@app.command()
def forecast(  # noqa: PLR0913  each is a flag
    community: CommunityOption,
    start: Annotated[datetime | None, typer.Option(help="UTC; default: the next full hour")] = None,
    hours: Annotated[float, typer.Option(help="How far ahead")] = 24.0,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.99)] = 0.9,
    model: str = "auto",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Forecast load, generation and net load with their uncertainty."""
    from digital_twin.cli import output
    from digital_twin.cli.credentials import connect

    with connect(url) as client:
        answer = client.forecast(
            community,
            start_time=_utc(start) or _next_hour(),
            horizon_hours=hours,
            confidence_level=confidence,
            model=model,
        )
    if as_json:
        output.console.print_json(data=answer)
        return
    output.console.print(output.forecast_table(answer))
    output.console.print(output.assumptions_text(answer), style="dim", markup=False)


@app.command()
def dispatch(
    community: CommunityOption,
    objective: Annotated[
        str, typer.Option(help="minimize_cost, maximize_welfare, minimize_emissions, ...")
    ] = "minimize_cost",
    start: Annotated[datetime | None, typer.Option(help="UTC; default: now")] = None,
    hours: Annotated[float, typer.Option(help="How far ahead")] = 24.0,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Plan storage, curtailment and grid exchange."""
    from digital_twin.cli import output
    from digital_twin.cli.credentials import connect

    with connect(url) as client:
        answer = client.dispatch(community, objective=objective, start_time=_utc(start), horizon_hours=hours)
    if as_json:
        output.console.print_json(data=answer)
        return
    output.console.print(output.schedule_table(answer))
    output.console.print(output.schedule_summary(answer))
    output.console.print(output.assumptions_text(answer), style="dim", markup=False)


@app.command("import")
def import_readings(  # noqa: PLR0913  each is a flag
    file: Annotated[
        Path, typer.Argument(help="CSV, Parquet or XLSX; one column per home, or one row per home and time")
    ],
    community: CommunityOption,
    series: Annotated[str | None, typer.Option(help="What the values are: load_kw, pv_kw, net_load_kw")] = None,
    unit: Annotated[str | None, typer.Option(help="kWh or Wh per interval, kW or W")] = None,
    timezone: Annotated[str | None, typer.Option(help="The zone that times without one were written in")] = None,
    label: Annotated[str | None, typer.Option(help="Whether a time names the start or the end of its interval")] = None,
    resolution: Annotated[int | None, typer.Option(help="Minutes per interval")] = None,
    cumulative: Annotated[bool | None, typer.Option(help="Whether values are a register's count")] = None,
    negatives: Annotated[str, typer.Option(help="refuse, clip or drop negative loads and generation")] = "refuse",
    keep_glitches: Annotated[bool, typer.Option(help="Import values far outside the usual")] = False,
    time_column: Annotated[str | None, typer.Option()] = None,
    member_column: Annotated[str | None, typer.Option()] = None,
    delimiter: Annotated[str | None, typer.Option()] = None,
    decimal: Annotated[str | None, typer.Option()] = None,
    sheet: Annotated[str | None, typer.Option()] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be imported")] = False,
    url: Url = None,
) -> None:
    """Import a meter file; shows what it guessed, and asks by a flag where a guess would change numbers."""
    from digital_twin.cli import output
    from digital_twin.cli.credentials import connect
    from digital_twin.cli.guesses import ImportOptions
    from digital_twin.cli.meter_file import read_meter_file
    from digital_twin.cli.upload import upload

    options = ImportOptions(
        time_column, member_column, series, unit, resolution, _one_of(label, "label", ("start", "end")), cumulative,
        timezone, delimiter, decimal, sheet, _one_of(negatives, "negatives", ("refuse", "clip", "drop")), keep_glitches,
    )  # fmt: skip
    read = read_meter_file(file, options)
    output.show_meter_file(read)
    if dry_run:
        return
    with connect(url) as client, output.progress("sending", sum(one.values.size for one in read.columns)) as advance:
        counts = upload(client, community, read, file, advance)
    output.console.print(output.table("Imported", ["what", "count"], list(counts.items())))


@app.command("export")
def export_readings(  # noqa: PLR0913  each is a flag
    community: CommunityOption,
    series: Annotated[str, typer.Option(help="Names, separated by commas")],
    start: Annotated[datetime, typer.Option(help="UTC")],
    end: Annotated[datetime, typer.Option(help="UTC")],
    member: Annotated[str | None, typer.Option(help="One member's series")] = None,
    output: Annotated[Path | None, typer.Option(help="A file; default: standard output")] = None,
    url: Url = None,
) -> None:
    """Write readings as CSV."""
    from digital_twin.cli.credentials import connect

    names = [name.strip() for name in series.split(",") if name.strip()]
    with connect(url) as client:
        text = client.readings_csv(community, names, _aware(start), _aware(end), member_id=member)
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text)


def _one_of(value: Any, name: str, allowed: tuple[str, ...]) -> Any:
    if value is not None and value not in allowed:
        raise errors.InvalidInput(f"--{name} must be {' or '.join(allowed)}, got {value}", field=name)
    return value


def _ask_password(*, twice: bool = False) -> str:
    return typer.prompt("Password", hide_input=True, confirmation_prompt=twice)


def _aware(value: datetime) -> datetime:
    from datetime import UTC

    return value.replace(tzinfo=UTC) if value.tzinfo is None else value


def _utc(value: datetime | None) -> datetime | None:
    return None if value is None else _aware(value)


def _next_hour() -> datetime:
    from datetime import UTC, timedelta

    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)


if __name__ == "__main__":
    main()
