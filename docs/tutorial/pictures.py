"""The tutorial's pictures, in colours that everybody can tell apart (Okabe, Ito 2008)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import dates
from matplotlib import pyplot as plt

mpl.use("Agg")
Document = dict[str, Any]
FOLDER = Path(__file__).parent / "figures"
BLUE, ORANGE, GREEN, PURPLE, BLACK = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#222222"
BEFORE = {"color": BLACK, "lw": 1, "ls": "--"}
AFTER_LW = 1.8
PANEL_INCHES = (9.6, 2.6)
WITHIN_95 = 1.96


class Day:
    """A panel over a day of intervals, by the community's clock."""

    def __init__(self, panel: Any, document: Document, count: int, zone: ZoneInfo) -> None:
        start, step = datetime.fromisoformat(document["start"]), timedelta(minutes=document["resolution_minutes"])
        self.edges = [(start + number * step).astimezone(zone).replace(tzinfo=None) for number in range(count + 1)]
        self.panel = panel
        panel.xaxis.set_major_formatter(dates.DateFormatter("%H:%M"))
        panel.margins(x=0)

    def line(self, values: Any, label: str | None = None, **style: Any) -> None:
        """A level for each interval."""
        self.panel.stairs(np.asarray(values, dtype=float), self.edges, baseline=None, label=label, **style)

    def band(self, low: Any, high: Any, label: str, color: str) -> None:
        self.panel.stairs(high, self.edges, baseline=low, fill=True, color=color, alpha=0.28, lw=0, label=label)

    def labelled(self, unit: str) -> None:
        self.panel.set_ylabel(unit)
        if self.panel.get_legend_handles_labels()[0]:
            self.panel.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, 1.22), ncols=3)


@contextmanager
def _drawn(path: Path, panels: int = 1) -> Iterator[Any]:
    """Panels under each other, saved at the end."""
    size = (PANEL_INCHES[0], PANEL_INCHES[1] * panels)
    figure, axes = plt.subplots(panels, figsize=size, sharex=True, layout="constrained", squeeze=False)
    for panel in axes[:, 0]:
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="y", color="#dddddd", linewidth=0.6)
        panel.set_axisbelow(True)
    yield axes[0, 0] if panels == 1 else axes[:, 0]
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def state_picture(path: Path, history: Document, name: str, truth_kw: pd.Series, zone: ZoneInfo) -> None:
    """Estimate with its 95 % band over a day in which few report, and what all meters told later."""
    mean, spread = (np.array(history["states"][name][part], dtype=float) for part in ("mean", "sd"))
    with _drawn(path) as panel:
        day = Day(panel, history, mean.size, zone)
        day.band(mean - WITHIN_95 * spread, mean + WITHIN_95 * spread, "95 % band", BLUE)
        day.line(mean, "estimate from those who report", color=BLUE, lw=AFTER_LW)
        day.line(truth_kw, "all meters, told later", **BEFORE)
        day.labelled("kW")


def forecast_picture(path: Path, forecast: Document, name: str, truth_kw: pd.Series, zone: ZoneInfo) -> None:
    """A day ahead with its 90 % interval, and what came."""
    variable = forecast["variables"][name]
    with _drawn(path) as panel:
        day = Day(panel, forecast, len(variable["mean"]), zone)
        day.band(variable["lower"], variable["upper"], "90 % interval", ORANGE)
        day.line(variable["mean"], "forecast at midnight", color=ORANGE, lw=AFTER_LW)
        day.line(truth_kw, "what came", **BEFORE)
        day.labelled("kW")


def dispatch_picture(path: Path, plan: Document, stored_before_kwh: float, zone: ZoneInfo) -> None:
    """What crosses the meter with and without the battery; what is stored; the price."""
    net = np.array(plan["load_kw"]) - np.array(plan["pv_kw"])
    with _drawn(path, 3) as panels:
        exchange, stored, price = (Day(panel, plan, net.size, zone) for panel in panels)
        exchange.line(net, "without the battery", **BEFORE)
        exchange.line(np.array(plan["import_kw"]) - plan["export_kw"], "with the plan", color=BLUE, lw=AFTER_LW)
        exchange.panel.axhline(0, color="#888888", lw=0.6)
        exchange.labelled("kW from the grid")
        stored.panel.plot(stored.edges, [stored_before_kwh, *plan["soc_kwh"]], color=GREEN, lw=AFTER_LW)
        stored.panel.set_ylim(bottom=0)
        stored.labelled("kWh stored")
        price.line(plan["import_price_per_kwh"], "import", color=PURPLE, lw=AFTER_LW)
        price.line(plan["export_price_per_kwh"], "export", **BEFORE)
        price.panel.set_ylim(bottom=0)
        price.labelled("price per kWh")


def tariff_picture(path: Path, tariff: Document, zone: ZoneInfo) -> None:
    """Prices before and after; below, demand before and after."""
    with _drawn(path, 2) as panels:
        prices, demand = (Day(panel, tariff, len(tariff["import_price_per_kwh"]), zone) for panel in panels)
        prices.line(tariff["marginal_cost_per_kwh"], "marginal cost", color=PURPLE, lw=1)
        prices.line(tariff["import_price_per_kwh"], "designed tariff", color=BLUE, lw=AFTER_LW)
        prices.line(tariff["present_tariff"]["import_price_per_kwh"], "present tariff", **BEFORE)
        prices.panel.set_ylim(bottom=0)
        prices.labelled("price per kWh")
        demand.line(tariff["demand_after_kw"], "demand expected", color=GREEN, lw=AFTER_LW)
        demand.line(tariff["demand_before_kw"], "demand now", **BEFORE)
        demand.labelled("kW")


def scenarios_picture(path: Path, names: Sequence[str], differences: Sequence[Document], currency: str) -> None:
    """How much less than today each scenario costs a year, with how sure that is."""
    saved, low, high = (np.array([-one[part] for one in differences]) for part in ("mean", "high", "low"))
    with _drawn(path) as panel:
        colours = [GREEN if value > 0 else ORANGE for value in saved]
        panel.barh(names, saved, xerr=[saved - low, high - saved], color=colours, capsize=4, height=0.45)
        panel.invert_yaxis()
        panel.axvline(0, color="#888888", lw=0.8)
        panel.grid(visible=False)
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        panel.set_xlabel(f"{currency} a year less than the community as it is (below 0: more)")
