"""Draw how the macro twin expects demand: python -m docs.explanation.draw_macro_twin.

It needs the Swiss homes and the utility of the benchmarks; none of their test parts is looked at.
"""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from benchmarks.twin_data import swiss_homes
from benchmarks.twin_prediction import ahead, calibrated, readings, utility, whole_homes
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from digital_twin.domain.units import Array
from digital_twin.macro_twin.felt import feel
from digital_twin.macro_twin.state import advance, start_state
from digital_twin.macro_twin.structure import COOLING_ABOVE_C, HEATING_BELOW_C, calendar_of

FIGURES = Path(__file__).parent / "figures"
TRUTH, TWIN, HABIT = "#222222", "#1f5fa8", "#c96a12"


def a_day_ahead() -> None:
    """Each midnight of four days of 536 homes: what is expected of the day, with its band, beside what came."""
    series = whole_homes(swiss_homes())
    first = series.part("develop").start + 3 * series.a_day
    model = calibrated(series, 0, first)
    state = advance(start_state(model, series.grid.start), model, readings(series, 0, first)).state
    _, axes = plt.subplots(figsize=(9, 3.4))
    for day in range(4):
        begin = first + day * series.a_day
        grid = series.span(begin, begin + series.a_day)
        slot, kind = calendar_of(grid, series.timezone)
        hours = 24 * day + np.arange(series.a_day) * grid.step_hours
        usual = state.memory.habits.usual[slot] + model.dynamics.day_kinds[kind, slot]
        mean, deviation = ahead(series, model, state, begin, series.a_day).T
        axes.fill_between(hours, mean - 1.96 * deviation, mean + 1.96 * deviation, color=TWIN, alpha=0.2, lw=0)
        names = ("expected at midnight", "habit", "came") if day == 0 else (None,) * 3
        axes.plot(hours, usual, color=HABIT, lw=1, ls="--", label=names[1])
        axes.plot(hours, mean, color=TWIN, lw=1.2, label=names[0])
        axes.plot(hours, series.values_kw[begin : begin + series.a_day], color=TRUTH, lw=1, label=names[2])
        state = advance(state, model, readings(series, begin, begin + series.a_day)).state
    axes.set_xticks(range(0, 97, 12), ["0:00", "12:00"] * 4 + ["0:00"])
    _finish(axes, "load of 536 homes, kW", "day_ahead")


def degrees() -> None:
    """A utility's daily mean load over what buildings felt, with what the twin learned of degrees."""
    series = utility(with_temperature=True)
    last = series.part("develop").stop
    outside = series.temperature_c
    assert outside is not None
    felt_c = feel(outside, series.grid.steps, before_c=np.nan, step_hours=1.0)[:last]
    daily_c, daily_mw = _daily(felt_c), _daily(series.values_kw[:last]) / 1_000
    _, axes = plt.subplots(figsize=(6, 3.6))
    axes.plot(daily_c, daily_mw, ".", color=TRUTH, ms=3, rasterized=True, label="a day of 2008 or 2009")
    shown_c = np.linspace(daily_c.min(), daily_c.max(), 100)
    mild = float(daily_mw[(daily_c > HEATING_BELOW_C) & (daily_c < COOLING_ABOVE_C)].mean())
    learned = calibrated(series, 0, last).demand.degrees / 1_000
    heating = learned[0] * np.maximum(HEATING_BELOW_C - shown_c, 0)
    cooling = learned[3] * np.maximum(shown_c - COOLING_ABOVE_C, 0)
    axes.plot(shown_c, mild + heating + cooling, color=TWIN, lw=1.5, label="mild days + learned degrees")
    axes.set_xlabel("felt temperature, daily mean, °C")
    _finish(axes, "load, daily mean, MW", "degrees")


def _daily(values: Array) -> Array:
    return values[: values.size // 24 * 24].reshape(-1, 24).mean(axis=1)


def _finish(axes: Axes, label: str, name: str) -> None:
    axes.set_ylabel(label)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    plt.savefig(FIGURES / f"macro_twin_{name}.svg", bbox_inches="tight", dpi=150, metadata={"Date": None})
    plt.close()


def main() -> None:
    mpl.rcParams |= {"svg.hashsalt": "macro twin", "font.size": 9}
    a_day_ahead()
    degrees()


if __name__ == "__main__":
    main()
