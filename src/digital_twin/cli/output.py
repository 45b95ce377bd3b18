"""Answers as tables for people."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

console = Console()
error_console = Console(stderr=True)

Document = dict[str, Any]


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, is_text: bool = False) -> Table:
    """A table; the first column is text, the others are numbers unless all is text."""
    made = Table(title=title, title_justify="left", header_style="bold")
    for index, column in enumerate(columns):
        made.add_column(
            column, justify="left" if is_text or not index else "right", no_wrap=not is_text and not index,
            overflow="fold",
        )  # fmt: skip
    for row in rows:
        made.add_row(*(_cell(value) for value in row))
    return made


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return _short(value) if isinstance(value, float) else str(value)


def _short(value: float, decimals: int = 1) -> str:
    """Rounded, without a minus before 0."""
    return f"{round(value, decimals) + 0.0:,.{decimals}f}"


def _hours(document: Document) -> Iterator[tuple[str, slice]]:
    """Each hour of a document's series: its name, and where it stands in them."""
    step = document["resolution_minutes"]
    per_hour = max(1, 60 // step)
    start = datetime.fromisoformat(document["start"])
    for first in range(0, document["length"], per_hour):
        yield f"{start + timedelta(minutes=first * step):%a %H:%M}", slice(first, first + per_hour)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def forecast_table(forecast: Document) -> Table:
    """Mean and interval of each variable by hour, in kW."""
    variables: Document = forecast["variables"]
    length = len(next(iter(variables.values()))["mean"])
    rows = [
        [hour, *(_expected(variable, where) for variable in variables.values())]
        for hour, where in _hours(forecast | {"length": length})
    ]
    percent = round(100 * forecast["confidence_level"])
    title = f"Forecast from {forecast['start']}: kW, hourly means with their {percent} % interval (UTC)"
    return table(title, ["from", *(f"{name.removesuffix('_kw').replace('_', ' ')} kW" for name in variables)], rows)


def _expected(variable: Document, where: slice) -> str:
    mean = _short(_mean(variable["mean"][where]))
    if "lower" not in variable:
        return mean
    lower, upper = (_short(_mean(variable[bound][where]), 0) for bound in ("lower", "upper"))
    return f"{mean} ({lower} .. {upper})"


PLAN_COLUMNS = ("load_kw", "pv_kw", "charge_kw", "discharge_kw", "import_kw", "export_kw")


def schedule_table(schedule: Document) -> Table:
    """The plan by hour; powers are means, the stored energy stands at the end of the hour."""
    rows = [
        [hour, *(_mean(schedule[name][where]) for name in PLAN_COLUMNS), schedule["soc_kwh"][where][-1]]
        for hour, where in _hours(schedule | {"length": len(schedule["soc_kwh"])})
    ]
    title = f"Dispatch plan from {schedule['start']}, {schedule['objective']}: kW, hourly means (UTC)"
    columns = ["from", *(name.removesuffix("_kw") for name in PLAN_COLUMNS), "stored kWh"]
    return table(title, columns, rows)


def member_plan_table(plan: Document) -> Table:
    """A member's plan by hour."""
    names = ("load_kw", "pv_kw", "charge_kw", "discharge_kw")
    rows = [
        [hour, *(_mean(plan[name][where]) for name in names), plan["soc_kwh"][where][-1]]
        for hour, where in _hours(plan | {"length": len(plan["soc_kwh"])})
    ]
    title = f"Plan of {plan['member_id']}, which saves {plan['saved']:,.2f}: kW, hourly means (UTC)"
    return table(title, ["from", *(name.removesuffix("_kw") for name in names), "stored kWh"], rows)


def trade_off_table(answer: Document) -> Table:
    """A plan a row, from the cheapest on."""
    unit, names = answer["unit"], {"kg": "emissions", "kWh": "from the grid", "kW": "highest import"}
    rows = [
        [
            point["number"], point["cost"], point["measure"],
            "" if point.get("price_per_unit") is None else f"{point['price_per_unit']:,.3f}",
            f"{100 * point['self_sufficiency']:.0f} %", point["peak_kw"],
        ]
        for point in answer["points"]
    ]  # fmt: skip
    columns = ["plan", "cost", f"{names[unit]}, {unit}", f"one {unit} less costs", "own supply", "peak, kW"]
    return table(f"Cost against {answer['against'].replace('_', '-')}, {answer['result_id']}", columns, rows)


def devices_table(schedule: Document) -> Table:
    """What each device takes and gives back, when it takes most, and how it stands at the end."""
    hours = schedule["resolution_minutes"] / 60
    rows: list[list[Any]] = []
    for use in schedule["devices"]:
        most = max(range(len(use["charge_kw"])), key=use["charge_kw"].__getitem__)
        at = datetime.fromisoformat(schedule["start"]) + timedelta(hours=most * hours)
        rows.append(
            [
                use["device_id"],
                hours * sum(use["charge_kw"]),
                hours * sum(use["discharge_kw"]),
                f"{use['charge_kw'][most]:,.1f} kW at {at:%d %b %H:%M}",
                _end_of(use),
            ]
        )
    return table("Devices (UTC)", ["device", "takes kWh", "gives back kWh", "most", "at the end"], rows)


def _end_of(use: Document) -> str:
    if "temperature_c" in use:
        return f"{use['temperature_c'][-1]:.1f} C"
    known = [value for value in use.get("soc_kwh", []) if value is not None]
    return f"{known[-1]:,.1f} kWh" if known else ""


def risk_table(schedule: Document) -> Table:
    """What the plan costs and risks over all scenarios."""
    risk = schedule["risk"]
    low, high = risk["cost_quantiles"]["0.05"], risk["cost_quantiles"]["0.95"]
    worst = f"mean of the worst {1 - risk['confidence']:.0%}"
    more = risk.get("value_of_planning_for_risk")
    rows = [
        ["cost, on average", f"{risk['expected_cost']:,.2f}"],
        ["cost, nine times out of ten", f"{low:,.2f} to {high:,.2f}"],
        [f"cost, {worst}", f"{risk['cvar']:,.2f}"],
        ["chance of passing a limit of the grid", f"{risk['violation_chance']['either']:.1%}"],
        ["planning for the expected course would lose", "" if more is None else f"{more:,.2f}"],
    ]
    return table(f"Over {risk['scenarios']} scenarios", ["", ""], rows)


def schedule_summary(schedule: Document) -> Table:
    """What the plan costs and saves."""
    savings = schedule["savings"]
    rows: list[list[str]] = [
        ["cost", f"{schedule['cost']:,.2f}"],
        *([f"saved against {name.replace('_', ' ')}", f"{one['saved']:,.2f}"] for name, one in _baselines(savings)),
        ["emissions", f"{schedule['emissions_kg']:,.1f} kg"],
        ["peak import", f"{schedule['peak_kw']:,.1f} kW"],
        ["self-consumption", f"{schedule['self_consumption']:.1%}"],
        ["self-sufficiency", f"{schedule['self_sufficiency']:.1%}"],
        ["certified gap", f"{schedule['gap']:.1e}"],
    ]
    rows += [[f"relaxing {one['limit']} by 1 is worth", f"{one['value_per_unit']:.3f}"] for one in schedule["binding"]]
    return table(f"Plan {schedule['result_id']}: {schedule['status']}", ["figure", "value"], rows)


def kpi_table(title: str, kpis: Document) -> Table:
    """How a community has done."""
    rows = [
        ["readings tell of", f"{kpis['known']:.1%} of the time"],
        ["load", f"{kpis['load_kwh']:,.1f} kWh"],
        ["generation", f"{kpis['pv_kwh']:,.1f} kWh"],
        *([name.replace("_", "-"), "-" if kpis[name] is None else f"{kpis[name]:.1%}"] for name in _SHARES),
        ["peak import", f"{kpis['peak_kw']:,.1f} kW"],
        ["emissions", f"{kpis['emissions_kg']:,.1f} kg"],
        ["cost of energy", f"{kpis['cost']:,.2f}"],
    ]
    for name, one in _baselines(kpis["savings"]):
        captured = "" if one["value_captured"] is None else f", {one['value_captured']:.0%} of what was possible"
        rows.append([f"saved against {name.replace('_', ' ')}", f"{one['saved']:,.2f}{captured}"])
    return table(title, ["figure", "value"], rows)


_SHARES = ("self_consumption", "self_sufficiency")


def state_table(state: Document) -> Table:
    """What is happening, with how sure it is."""
    rows: list[list[Any]] = [
        [name.replace("_", " ").replace(" soc", ""), one["mean"], f"{1.96 * one['sd']:,.1f}"]
        for name, one in state["states"].items()
    ]
    title = f"State at {state['observed_at']}: {state['coverage']:.0%} of it metered, 95 % within +/-"
    return table(title, ["state", "estimate", "+/-"], rows)


def prediction_table(prediction: Document) -> Table:
    """What is expected of each hour, with how sure it is."""
    states: Document = prediction["states"]
    length = len(states["demand_kw"]["mean"])
    rows = [
        [hour, *(_expected(one, where) for one in states.values())]
        for hour, where in _hours(prediction | {"length": length})
    ]
    columns = ["hour", *(name.replace("_", " ").replace(" soc", "") for name in states)]
    return table(f"Expected from {prediction['start']} (UTC): mean (95 % within)", columns, rows)


def past_table(history: Document) -> Table:
    """What each past hour was, with how sure it is."""
    states: Document = history["states"]
    rows = [
        [hour, *(_estimated(one, where) for one in states.values())]
        for hour, where in _hours(history | {"length": len(history["coverage"])})
    ]
    columns = ["hour", *(name.replace("_", " ").replace(" soc", "") for name in states)]
    return table(f"With hindsight from {history['start']} (UTC): 95 % within +/-", columns, rows)


def _estimated(one: Document, where: slice) -> str | None:
    known = [pair for pair in zip(one["mean"][where], one["sd"][where], strict=True) if None not in pair]
    if not known:
        return None
    mean, sd = (_mean(values) for values in zip(*known, strict=True))
    return f"{_short(mean)} +/- {_short(1.96 * sd)}"


def tariff_table(tariff: Document) -> Table:
    """Prices and the demand that answers them, by hour."""
    present: Document = tariff["present_tariff"]
    columns = (
        (present["import_price_per_kwh"], 3),
        (tariff["import_price_per_kwh"], 3),
        (tariff["export_price_per_kwh"], 3),
        (tariff["demand_before_kw"], 1),
        (tariff["demand_after_kw"], 1),
    )
    rows = [
        [hour, *(_short(_mean(values[where]), decimals) for values, decimals in columns)]
        for hour, where in _hours(tariff | {"length": len(tariff["import_price_per_kwh"])})
    ]
    title = f"Tariff from {tariff['start']}: prices per kWh and demand in kW, hourly means (UTC)"
    return table(title, ["from", "price now", "new price", "feed-in", "demand now", "then"], rows)


def elasticity_text(tariff: Document) -> str | None:
    """The own elasticity with its standard error, and where it comes from."""
    known: Document | None = tariff.get("elasticity")
    if known is None:
        return None
    error = f" ± {known['own_standard_error']:.3f}" if "own_standard_error" in known else ""
    return f"{known['own']:.3f}{error} ({known['source']})"


def tariff_summary(tariff: Document) -> Table:
    """What the tariff changes, and for whom."""
    welfare, who = tariff["welfare"], tariff["distribution"]
    rows = [
        ["welfare", f"{welfare['change']:+,.2f}"],
        ["consumer surplus", f"{welfare['consumer_surplus']:+,.2f}"],
        ["operator margin", f"{welfare['operator_margin']:+,.2f}"],
        ["PV owners' receipts", f"{welfare['pv_receipts']:+,.2f}"],
        ["carbon damage", f"{welfare['carbon_damage']:+,.2f}"],
        ["elasticity", elasticity_text(tariff)],
        ["incentives paid", f"{tariff['incentives_paid']:,.2f}"],
        ["one more of budget is worth", f"{tariff['budget_shadow_price']:.3f}"],
        ["revenue", f"{tariff['revenue']:,.2f}"],
    ]
    if who.get("share_better_off") is not None:
        rows.append(["members better off", f"{who['share_better_off']:.0%} of {who['members_known']}"])
    return table(f"Tariff {tariff['result_id']}: {tariff['status']}", ["figure", "value"], rows)


SCENARIO_KPIS = (
    ("cost", "cost", 1),
    ("kg CO2", "emissions_kg", 1),
    ("self-consumed %", "self_consumption", 100),
    ("self-sufficient %", "self_sufficiency", 100),
    ("peak kW", "peak_import_kw", 1),
)


def scenarios_table(result: Document) -> Table:
    """The means of each scenario over a year, beside today with 95 % intervals, and what an investment is worth."""
    scenarios: list[Document] = result["scenarios"]
    beside = [one["comparison"]["cost_difference"] for one in scenarios]
    rows = [
        *([what, *(_short(factor * one["kpis"][name]["mean"], 0) for one in scenarios)]
          for what, name, factor in SCENARIO_KPIS),
        *([what, *(f"{one[name]:+,.0f}" for one in beside)]
          for what, name in (("cost beside today", "mean"), ("  95 % from", "low"), ("  to", "high"))),
        ["NPV", *map(_worth, scenarios)],
    ]  # fmt: skip
    title = f"Scenarios: {scenarios[0]['simulation_duration_days']} days, {scenarios[0]['runs']} simulated years each"
    return table(title, ["figure", *(one["name"] or one["scenario_id"] for one in scenarios)], rows)


def _worth(scenario: Document) -> str:
    worth = scenario.get("economics")
    return "-" if worth is None else _short(worth["net_present_value"]["mean"], 0)


def _baselines(savings: Document) -> list[tuple[str, Document]]:
    return list(savings["baselines"].items())


def assumptions_text(document: Document) -> str:
    """The documented priors that stood in for data, one a line; empty without any."""
    return "\n".join(f"assumed: {sentence}" for sentence in document["provenance"]["assumptions"])


@contextmanager
def progress(what: str, total: int) -> Generator[Callable[[int], None], None, None]:
    """A bar for a long piece of work; the block is given the function that advances it."""
    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=error_console) as bar:
        task = bar.add_task(what, total=max(1, total))
        yield lambda amount: bar.advance(task, amount)
