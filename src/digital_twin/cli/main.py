"""`digital-twin`: everything that talks to a server goes through the client; serve, migrate and admin work here.

Heavy modules are imported inside the commands, so that `--help` answers at once.
"""

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from digital_twin.cli import keeping, member_plans, plans, synthetic, transfer
from digital_twin.cli.accuracy import accuracy, backtest
from digital_twin.cli.kpis import kpis
from digital_twin.cli.parameters import AsJson, CommunityOption, Url, instant
from digital_twin.cli.patterns import patterns
from digital_twin.cli.quality import quality
from digital_twin.cli.state import state
from digital_twin.cli.tariff import tariff
from digital_twin.domain import errors

if TYPE_CHECKING:
    from digital_twin.bootstrap import Settings

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

DETAILS_SHOWN = 5

Home = Annotated[Path | None, typer.Option(help="Where an embedded installation keeps its data")]


def main() -> None:
    """Run the command line; an error is one sentence and an exit code of its own kind."""
    try:
        app()
    except errors.TwinError as error:
        _complain(error.kind, error.message, error.facts.get("errors", []))
        sys.exit(exit_code(error))
    except OSError as error:
        _complain("error", f"{error.filename or 'a file'}: {error.strerror or error}", [])
        sys.exit(1)


def _complain(kind: str, message: str, details: list[dict[str, str]]) -> None:
    """One sentence on standard error, and what is wrong at each place where the API names several."""
    from digital_twin.cli.output import error_console

    error_console.print(f"[bold red]{kind}[/]: ", end="", soft_wrap=True)
    error_console.print(message, markup=False, highlight=False, soft_wrap=True)
    for one in details[:DETAILS_SHOWN]:
        line = f"{one.get('pointer', '')}: {one.get('detail', '')}"
        if message not in (line, one.get("detail")):
            error_console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)


def exit_code(error: errors.TwinError) -> int:
    """The exit code of the closest ancestor that has one."""
    return next((EXIT_CODES[cls] for cls in type(error).__mro__ if cls in EXIT_CODES), 1)


@app.command()
def serve(
    home: Home = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on (API_HOST)")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on (API_PORT)")] = None,
    no_worker: Annotated[bool, typer.Option("--no-worker", help="Leave Runs to workers started elsewhere")] = False,
    no_dashboard: Annotated[bool, typer.Option("--no-dashboard", help="Start no dashboard")] = False,
    listener: Annotated[int | None, typer.Option(hidden=True, help="Descriptor of a socket that listens")] = None,
) -> None:
    """Start the API with worker, dashboard and database; an embedded one unless DATABASE_URL names another."""
    from digital_twin.api.main import create_app
    from digital_twin.bootstrap import read_settings
    from digital_twin.cli.serving import run_server

    settings = read_settings(
        digital_twin_home=home,
        api_host=host,
        api_port=port,
        start_worker=False if no_worker else None,
        start_dashboard=not no_dashboard,
    )
    run_server(create_app(settings), listener=listener, **server_options(settings))


def server_options(settings: "Settings") -> dict[str, Any]:
    """How uvicorn serves; what a client writes about its own address is believed from named proxies alone."""
    return {
        "host": settings.api_host,
        "port": settings.api_port,
        # whatever else is installed beside: other parsers answer for themselves what they cannot read
        "http": "h11",
        "loop": "asyncio",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "timeout_graceful_shutdown": 10,
        "proxy_headers": bool(settings.trusted_proxies),
        "forwarded_allow_ips": settings.trusted_proxies,
    }


@app.command()
def worker(
    queues: Annotated[str, typer.Option(help="Whose work to do, separated by commas; default: all")] = "",
    ingest: Annotated[bool, typer.Option("--ingest", help="Take messages from the broker of MQTT_URL instead")] = False,
    home: Home = None,
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
) -> None:
    """Carry out Runs until Ctrl-C; as many workers as there is work may run beside each other."""
    import asyncio

    from digital_twin.bootstrap import ALL_QUEUES, read_settings
    from digital_twin.cli.serving import end_with_parent, expect_to_stay
    from digital_twin.worker.ingest import take_messages
    from digital_twin.worker.main import work

    if ingest and queues:
        raise errors.InvalidInput("an ingester carries out no Runs; give --queues to another worker", field="queues")
    wanted = [name.strip() for name in queues.split(",") if name.strip()] or list(ALL_QUEUES)
    unknown = sorted(set(wanted) - set(ALL_QUEUES))
    if unknown:
        raise errors.InvalidInput(f"queues are {', '.join(ALL_QUEUES)}; there is no {unknown[0]!r}", field="queues")
    if with_parent:
        end_with_parent()
    expect_to_stay()
    settings = read_settings(digital_twin_home=home)
    asyncio.run(take_messages(settings) if ingest else work(settings, wanted))


@app.command()
def dashboard(
    host: Annotated[str | None, typer.Option(help="Address to listen on (DASHBOARD_HOST)")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on (DASHBOARD_PORT)")] = None,
    url: Annotated[str | None, typer.Option(help="Where the API is (API_URL)")] = None,
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
) -> None:
    """Serve the pages that people look at; they ask the API for everything."""
    from digital_twin.bootstrap import read_settings
    from digital_twin.cli.serving import end_with_parent, run_server
    from digital_twin.dashboard.server import create_app

    settings = read_settings(dashboard_host=host, dashboard_port=port, api_url=url)
    if with_parent:
        end_with_parent()
    pages = create_app(settings.api_address, allowed_hosts=settings.allowed_hosts.split(","))
    options: dict[str, Any] = server_options(settings)
    options |= {"host": settings.dashboard_host, "port": settings.dashboard_port, "log_level": "warning"}
    run_server(pages, **options)


@app.command()
def demo(
    home: Annotated[Path | None, typer.Option(help="Where the demo keeps its data")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the API; default: 8000 or a free one")
    ] = None,
    leave: Annotated[bool, typer.Option("--exit", help="End after the report instead of serving on")] = False,
) -> None:
    """Show it all: a community with a history, its forecast and its plan; then serve until Ctrl-C."""
    from digital_twin.bootstrap import keep_compiled, read_settings

    home = (home or read_settings().digital_twin_home / "demo").absolute()
    home.mkdir(parents=True, exist_ok=True)
    keep_compiled(home)  # before the next line imports what is compiled; the server finds it there
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

    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else _ask_password(twice=True)
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

    server = (url or DEFAULT_URL).rstrip("/")
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else _ask_password()
    with TwinClient(server) as client:
        SavedLogin(server, client.login(username, password)).save()
        me = client.me()
    console.print(f"signed in at {server} as {me['username']} ({me['role']})")


@app.command()
def forecast(  # noqa: PLR0913  each is a flag
    community: CommunityOption,
    start: Annotated[
        datetime | None,
        typer.Option(help="UTC unless it says otherwise; default: the next full hour", parser=instant, metavar="TIME"),
    ] = None,
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
            start_time=start or _next_hour(),
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
def dispatch(  # noqa: PLR0913  each is a flag
    community: CommunityOption,
    objective: Annotated[
        str, typer.Option(help="minimize_cost, maximize_welfare, minimize_emissions, ...")
    ] = "minimize_cost",
    start: Annotated[
        datetime | None,
        typer.Option(help="UTC unless it says otherwise; default: now", parser=instant, metavar="TIME"),
    ] = None,
    hours: Annotated[float, typer.Option(help="How far ahead")] = 24.0,
    devices: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="JSON: a list of vehicles, heat pumps, ...")
    ] = None,
    risk: Annotated[float | None, typer.Option(help="Weigh the worst costs, 0 to 1: plan for what may come")] = None,
    scenarios: Annotated[int, typer.Option(help="With --risk: how many sample paths of the forecast")] = 100,
    level: Annotated[str, typer.Option(help="community, or member: everyone's own battery and vehicle")] = "community",
    output_file: Annotated[
        Path | None, typer.Option("--output", help="With --level member: every member's plan as .csv, .parquet, .arrow")
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Plan storage, devices, curtailment and grid exchange."""
    from digital_twin.cli import output
    from digital_twin.cli.credentials import connect

    member_plans.check_level(level, output_file)
    with connect(url) as client:
        planned: dict[str, Any] = {} if devices is None else {"devices": _list_of(devices)}
        if level == member_plans.MEMBER:
            planned |= {"objective": objective, "start_time": start, "horizon_hours": hours}
            member_plans.plan(client, community, planned, output_file, as_json=as_json)
            return
        if risk is not None:
            planned["risk"] = {"cvar_weight": risk, "scenarios": scenarios}
        answer = client.dispatch(community, objective=objective, start_time=start, horizon_hours=hours, **planned)
    if as_json:
        output.console.print_json(data=answer)
        return
    output.console.print(output.schedule_table(answer))
    if "devices" in answer:
        output.console.print(output.devices_table(answer))
    if "risk" in answer:
        output.console.print(output.risk_table(answer))
    output.console.print(output.schedule_summary(answer))
    output.console.print(output.assumptions_text(answer), style="dim", markup=False)


def _list_of(path: Path) -> list[Any]:
    """Raises InvalidInput."""
    import json

    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise errors.InvalidInput(f"{path} is not JSON: {error}") from error
    if not isinstance(found, list):
        raise errors.InvalidInput(f"{path} must hold a list of devices in brackets")
    return found  # type: ignore[return-value]


app.command("import")(transfer.import_readings)
app.command("export")(transfer.export_readings)
app.command("synthetic")(synthetic.make_synthetic)
app.command("member-plan")(member_plans.show_member_plan)
app.command()(plans.explain)
app.command("trade-off")(plans.trade_off)
app.command()(plans.apply)
app.command()(plans.active)
app.command()(plans.model)
app.command()(quality)
app.command()(accuracy)
app.command()(kpis)
app.command()(backtest)
app.command()(patterns)
app.command()(state)
app.command()(tariff)
app.command()(keeping.retention)
app.command()(keeping.erase)


def _ask_password(*, twice: bool = False) -> str:
    return typer.prompt("Password", hide_input=True, confirmation_prompt=twice)


def _next_hour() -> datetime:
    from datetime import UTC, timedelta

    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)


if __name__ == "__main__":
    main()
