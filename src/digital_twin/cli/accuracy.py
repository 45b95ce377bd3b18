"""`digital-twin accuracy` and `backtest`: how good forecasts were, and how good models would have been."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from digital_twin.cli.parameters import AsJson, CommunityOption, Url, comma_separated


def accuracy(
    community: CommunityOption,
    days: Annotated[int, typer.Option(min=1, max=400, help="How far back")] = 28,
    by_day: Annotated[bool, typer.Option("--by-day", help="Also each day of its own")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show how good the forecasts were that were issued each midnight, beside the seasonal naive."""
    from digital_twin.cli import output
    from digital_twin.cli.credentials import connect

    now = datetime.now(UTC)
    with connect(url) as client:
        answer = client.forecast_accuracy(community, start=now - timedelta(days=days), end=now)
        drift = client.models(community)["drift"]
    if as_json:
        output.console.print_json(data=answer)
        return
    if not answer["variables"]:
        output.console.print("No forecast was issued in this time: one is issued each midnight of what is metered.")
        return
    rows = [[name, one["days"], *_scores(one)] for name, one in answer["variables"].items()]
    output.console.print(output.table(f"Forecasts of the last {days} days", ["variable", "days", *SCORES], rows))
    if by_day:
        for name, one in answer["variables"].items():
            output.console.print(_days_table(name, one["by_day"]))
    for name, one in drift.items():
        if one["is_degraded"]:
            output.console.print(_worse(name, one), markup=False)


def backtest(  # noqa: PLR0913  each is a flag
    community: CommunityOption,
    models: Annotated[str, typer.Option(help="Names, separated by commas, as in GET .../forecasting/models")],
    days: Annotated[int, typer.Option(min=2, max=56, help="The last so many whole days")] = 28,
    refit_days: Annotated[int, typer.Option(min=1, max=56, help="Fit anew every so many days")] = 7,
    variables: Annotated[str | None, typer.Option(help="Names, separated by commas; default: all metered")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show how models would have done on past days, each asked at midnight with what was known then."""
    from digital_twin.cli import output
    from digital_twin.cli.credentials import connect

    wanted: dict[str, Any] = {} if variables is None else {"variables": comma_separated(variables)}
    with connect(url) as client:
        run = client.backtest(community, comma_separated(models), days=days, refit_days=refit_days, **wanted)
        answer = client.backtest_result(community, client.wait_for(run)["run_id"])
    if as_json:
        output.console.print_json(data=answer)
        return
    for name, one in answer["variables"].items():
        rows = [_backtest_row(model, score) for model, score in one["models"].items()]
        title = f"{name}, {answer['days']} days before {answer['as_of']}"
        output.console.print(output.table(title, ["model", "days", *BACKTEST_SCORES], rows))


SCORES = ("loss kW", "naive kW", "skill", "nMAE", "in 50 %", "in 80 %", "in 90 %")
BACKTEST_SCORES = ("loss kW", "of mean", "in 90 %", "x naive", "from", "to")


def _scores(one: dict[str, Any], at: int | None = None) -> list[str]:
    names = ("pinball_loss_kw", "naive_pinball_loss_kw", "skill", "nmae", "coverage_50", "coverage_80", "coverage_90")
    values = [one[name] if at is None else one[name][at] for name in names]
    return [*map(_kw, values[:2]), *map(_percent, values[2:])]


def _days_table(name: str, by_day: dict[str, Any]) -> Any:
    from digital_twin.cli import output

    rows = [[day, *_scores(by_day, at)] for at, day in enumerate(by_day["day"])]
    return output.table(f"{name}, by local day", ["day", *SCORES], rows)


def _worse(name: str, drift: dict[str, Any]) -> str:
    now, before = _percent(drift["relative_loss"]), _percent(drift["relative_loss_before"])
    return (
        f"Forecasts of {name} have become worse since {drift['degraded_since']}: "
        f"{now} of the seasonal naive's loss, before {before}"
    )


def _backtest_row(model: str, score: dict[str, Any]) -> list[Any]:
    ratio = score["naive_ratio"] or {"value": None, "low": None, "high": None}
    shares = [score["relative_loss"], score["coverage_90"]]
    return [model, score["days"], _kw(score["pinball_loss_kw"]), *map(_percent, shares), *map(_kw, ratio.values())]


def _kw(value: float | None) -> str:
    return "-" if value is None else f"{value:,.3f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
