"""Walk through both communities, and fill the tutorial's figures and pictures: ./scripts/tutorial DATA.

DATA is a folder that holds citylearn2022/meters.parquet and ch_households537/meters_15min_wide.parquet. The walk has
a server of its own and asks it as everybody does: by the command line and by the client.
"""

import argparse
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.measure import replace_section
from docs.tutorial import pictures
from docs.tutorial.communities import COMMUNITIES, Community
from docs.tutorial.wording import (
    MINUTES,
    WITHIN_95,
    Document,
    hourly,
    hours,
    kw,
    models,
    payback,
    quoted,
    state_rows,
    table,
    word,
)
from tests.cli.command_line import CommandLine
from tests.e2e.serving import PASSWORD, Installation

from digital_twin.client import TwinClient

PAGE = Path(__file__).parent / "README.md"
YEARS, SEED = 100, 1
BLOCKS = [0, 6, 10, 16, 21]
EVENING = timedelta(hours=20)


class Walk:
    """One community from its first file to its scenarios; each step gives the text of its section."""

    def __init__(self, community: Community, data: Path, folder: Path, line: CommandLine, twin: TwinClient) -> None:
        self.community = community
        self.files = community.files(data, folder, community.day)
        self.metered_kw = community.sums_kw(community.table(data))
        self.truth_kw = hours(self.metered_kw)
        self.line = line
        self.twin = twin

    def sections(self) -> Iterator[tuple[str, str]]:
        """The name and the text of each section, in their order."""
        self.twin.create_community(self.community.fields)
        steps = (
            self.history, self.few_meters, self.all_meters, self.training, self.forecast, self.dispatch, self.tariff,
            self.scenarios,
        )  # fmt: skip
        for step in steps:
            name = step.__name__
            yield f"{self.community.id} {name}", step()
            print(f"{self.community.id}: {name}", flush=True)

    def history(self) -> str:
        return quoted(self._import("history"))

    def few_meters(self) -> str:
        """The state in the evening of a day on which not all report."""
        one = self.community
        self._import("today")
        evening = one.day + EVENING
        state = self.twin.state(one.id, as_of=evening)
        observed = datetime.fromisoformat(state["observed_at"])
        name = "demand_kw" if one.demand == "load_kw" else "net_load_kw"
        history = self.twin.state_history(one.id, one.day, one.tomorrow)
        last = observed - timedelta(minutes=history["resolution_minutes"])
        by_hour = hourly(history, name)
        truth = self._truth(one.demand)
        pictures.state_picture(self._picture("state"), by_hour, name, truth, one.zone)
        found = by_hour["states"][name]
        error = np.array(found["mean"]) - truth.to_numpy()
        inside = np.abs(error) <= WITHIN_95 * np.array(found["sd"])
        scaled = hours(one.sums_kw(pd.read_parquet(self.files["today"])))[one.demand]
        scaled_error = scaled * one.fields["num_prosumers"] / one.reporting - truth
        rows = [
            ("instant", f"{observed.astimezone(one.zone):%a %d %b %Y, %H:%M}"),
            ("meters that report", f"{one.reporting} of {one.fields['num_prosumers']}"),
            ("coverage", f"{100 * state['coverage']:.0f} %"),
            *state_rows(state),
            (f"{word(one.demand)} as all meters told later", kw(self.metered_kw[one.demand][last])),
            ("over the day: mean error of the estimate", kw(float(np.abs(error).mean()))),
            ("over the day: mean error of scaling those who report", kw(float(np.abs(scaled_error).mean()))),
            ("over the day: hours inside the 95 % band", f"{int(inside.sum())} of {inside.size}"),
        ]
        return table(("state", ""), rows) + self._shown("state", "estimate from few meters, and the truth")

    def all_meters(self) -> str:
        """The same instant when the others have told."""
        one = self.community
        self._import("late")
        state = self.twin.state(one.id, as_of=one.day + EVENING)
        return table(("state", ""), [("coverage", f"{100 * state['coverage']:.0f} %"), *state_rows(state)])

    def training(self) -> str:
        one = self.community
        run = self.twin.train(one.id, as_of=one.tomorrow)
        self.twin.wait_for(run)
        rows = []
        for version in self.twin.models(one.id)["trained"]:
            model, naive = version["scores"]["model"], version["scores"]["seasonal_naive"]
            held = model["coverage_90"]
            rows.append(
                (
                    word(version["variable"]),
                    f"`{version['model']}`",
                    kw(model["pinball_loss_kw"]),
                    f"{model['pinball_loss_kw'] / naive['pinball_loss_kw']:.2f}",
                    "-" if held is None else f"{100 * held:.0f} %",
                )
            )
        return table(("what", "model", "loss", "loss / that of last week's values", "inside the 90 % interval"), rows)

    def forecast(self) -> str:
        one = self.community
        answer = self.twin.forecast(
            one.id, start_time=one.tomorrow, horizon_hours=24, resolution_minutes=MINUTES, as_of=one.tomorrow
        )
        truth = self._truth(one.demand, one.tomorrow)
        pictures.forecast_picture(self._picture("forecast"), answer, one.demand, truth, one.zone)
        rows = []
        for name in [name for name in answer["variables"] if name in self.truth_kw]:
            variable, came = answer["variables"][name], self._truth(name, one.tomorrow).to_numpy()
            inside = (came >= variable["lower"]) & (came <= variable["upper"])
            energy = sum(variable["mean"]), came.sum()
            rows.append(
                (
                    word(name), models(answer["models"][name]), f"{energy[0]:,.0f} kWh", f"{energy[1]:,.0f} kWh",
                    f"{int(inside.sum())} of {inside.size}",
                )
            )  # fmt: skip
        columns = ("what", "model", "forecast for the day", "what came", "hours inside the 90 % interval")
        return table(columns, rows) + self._shown("forecast", "forecast with its interval, and what came")

    def dispatch(self) -> str:
        one = self.community
        half = one.fields["total_storage_capacity_kwh"] / 2
        plan = self.twin.dispatch(
            one.id, objective="minimize_cost", start_time=one.tomorrow, horizon_hours=24, resolution_minutes=MINUTES,
            current_soc_kwh=half, as_of=one.tomorrow,
        )  # fmt: skip
        pictures.dispatch_picture(self._picture("dispatch"), plan, half, one.zone)
        money, compared = self._money, plan["savings"]["baselines"]
        rows = [
            ("cost of the day", money(plan["cost"])),
            *((f"saved against {word(name)}", money(found["saved"])) for name, found in compared.items()),
            ("highest import", kw(plan["peak_kw"])),
            *self._own_supply(plan),
            ("status, gap", f"{plan['status']}, {plan['gap']:.1g}"),
            *(
                (f"one more unit of {limit['limit']} is worth", money(limit["value_per_unit"], 3))
                for limit in plan["binding"]
            ),
        ]
        return table(("plan", ""), rows) + self._shown("dispatch", "exchange with the grid, storage and price")

    def tariff(self) -> str:
        one = self.community
        tariff = self.twin.design_tariff(
            one.id, start_time=one.tomorrow, horizon_hours=24, resolution_minutes=MINUTES, blocks=BLOCKS,
            elasticity=-0.2, marginal_cost_per_kwh=one.marginal_cost_per_kwh, as_of=one.tomorrow,
        )  # fmt: skip
        pictures.tariff_picture(self._picture("tariff"), tariff, one.zone)
        money, welfare, who = self._money, tariff["welfare"], tariff["distribution"]
        price = [
            f"{datetime.fromisoformat(block['start']).astimezone(one.zone):%H:%M} {block['import_price_per_kwh']:.3f}"
            for block in tariff["blocks"]
        ]
        rows = [
            ("price from ... on", ", ".join(price)),
            ("gain of welfare", money(welfare["change"])),
            ("of it consumers", money(welfare["consumer_surplus"])),
            ("of it the operator", money(welfare["operator_margin"])),
            ("of it owners of PV", money(welfare["pv_receipts"])),
            ("carbon damage", money(welfare["carbon_damage"])),
            ("incentives paid", money(tariff["incentives_paid"])),
            ("incentive budget of the day", money(tariff["days"][0]["incentive_budget"])),
            ("one more unit of budget is worth", money(tariff["budget_shadow_price"], 3)),
        ]
        if "share_better_off" in who:
            rows.append(("members better off", f"{100 * who['share_better_off']:.0f} % of {who['members_known']}"))
        return table(("tariff", ""), rows) + self._shown("tariff", "prices and demand before and after")

    def scenarios(self) -> str:
        one = self.community
        run = self.twin.run_multiple(one.id, one.scenarios, monte_carlo_runs=YEARS, seed=SEED, as_of=one.tomorrow)
        result = self.twin.simulation_result(one.id, self.twin.wait_for(run)["run_id"])
        pictures.scenarios_picture(
            self._picture("scenarios"),
            [found["name"] for found in result["scenarios"]],
            [found["comparison"]["cost_difference"] for found in result["scenarios"]],
            one.fields["currency"],
        )
        as_is = next(place for place in result["comparison"]["ranking"] if place["scenario_id"] == "as_is")
        rows = [("as it is", self._money(as_is["mean_cost"], 0), "-", "-", "-", "-")]
        rows += [self._scenario_row(found) for found in result["scenarios"]]
        columns = (
            "scenario",
            "cost a year",
            "less than now (95 % sure)",
            "own supply",
            "net present value",
            "paid back",
        )
        return table(columns, rows) + self._shown("scenarios", "what each scenario saves a year")

    def _scenario_row(self, found: Document) -> tuple[str, ...]:
        money, difference = self._money, found["comparison"]["cost_difference"]
        worth = found.get("economics")
        return (
            found["name"],
            money(found["kpis"]["cost"]["mean"], 0),
            f"{money(-difference['mean'], 0)} ({-difference['high']:,.0f} to {-difference['low']:,.0f})",
            f"{100 * found['kpis']['self_sufficiency']['mean']:.0f} %",
            "-" if worth is None else money(worth["net_present_value"]["mean"], 0),
            payback(worth),
        )

    def _own_supply(self, plan: Document) -> list[tuple[str, str]]:
        if not self.community.fields["total_pv_capacity_kw"]:
            return []
        return [
            ("generation used here", f"{100 * plan['self_consumption']:.0f} %"),
            ("consumption met from here", f"{100 * plan['self_sufficiency']:.0f} %"),
        ]

    def _import(self, part: str) -> str:
        options = ("--community", self.community.id, *self.community.options)
        return self.line.output("import", str(self.files[part]), *options)

    def _truth(self, name: str, day: datetime | None = None) -> pd.Series:
        """The hours of a day."""
        start = self.community.day if day is None else day
        return self.truth_kw[name][start : start + timedelta(hours=24 - MINUTES / 60)]

    def _money(self, value: float, digits: int = 2) -> str:
        return f"{value + 0.0:,.{digits}f} {self.community.fields['currency']}"

    def _picture(self, name: str) -> Path:
        return pictures.FOLDER / f"{self.community.id}_{name}.png"

    def _shown(self, name: str, what: str) -> str:
        return f"\n\n![{self.community.fields['name']}: {what}](figures/{self._picture(name).name})"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder with the data of both communities")
    data = parser.parse_args().data.absolute()
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as folder:
        twin = Installation(Path(home))
        twin.create_administrator()
        twin.start()
        try:
            line = CommandLine(twin, Path(folder))
            line.log_in("root_admin")
            with TwinClient(twin.url, timeout_s=600) as client:
                client.login("root_admin", PASSWORD)
                for community in COMMUNITIES:
                    walk = Walk(community, data, Path(folder), line, client)
                    for name, text in walk.sections():
                        replace_section(PAGE, name, text)
        finally:
            twin.stop()


if __name__ == "__main__":
    main()
