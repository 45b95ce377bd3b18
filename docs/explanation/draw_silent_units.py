"""Draw what the twin makes of few inverters and batteries: python -m docs.explanation.draw_silent_units.

It needs the Californian homes of the benchmark; the days are none of those that the benchmark judges.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from benchmarks.twin_plant import (
    BATTERIES,
    HISTORY_DAYS,
    INVERTERS,
    californian,
    reporters,
    scaled_up,
    twin_estimates,
)
from docs.tutorial.pictures import BLACK, BLUE, ORANGE, WITHIN_95
from matplotlib import dates
from matplotlib import pyplot as plt

from digital_twin.macro_twin.structure import LOAD, PV, STORAGE_SOC

mpl.use("Agg")
PICTURE = Path(__file__).parent / "figures" / "silent_units.png"
FIRST_DAY, SHOWN_HOURS = 14, slice(4 * 24, 8 * 24)
DRAW = 4
PANELS = ((PV, "generation, kW"), (LOAD, "demand, kW"), (STORAGE_SOC, "stored energy, kWh"))


def main() -> None:
    community = californian(FIRST_DAY)
    roofs = reporters(DRAW, community.pv_capacity_kw.size, INVERTERS)
    batteries = reporters(DRAW + 1, community.soc_capacity_kwh.size, BATTERIES)
    twin = twin_estimates(community, roofs, batteries)
    scaled = scaled_up(community, community.pv_capacity_kw, community.soc_capacity_kwh, roofs, batteries)
    truth = community.truth[HISTORY_DAYS * 24 :]
    start = community.grid.start + timedelta(days=HISTORY_DAYS)
    hours = [(start + timedelta(hours=hour - 8)).replace(tzinfo=None) for hour in range(len(truth) + 1)]
    edges = hours[SHOWN_HOURS.start : SHOWN_HOURS.stop + 1]
    figure, axes = plt.subplots(len(PANELS), figsize=(9.6, 7.2), sharex=True, layout="constrained")
    for panel, (quantity, label) in zip(axes, PANELS, strict=True):
        mean, deviation = (one[SHOWN_HOURS, quantity] for one in (twin.mean, twin.deviation))
        _band(panel, edges, mean, WITHIN_95 * deviation)
        panel.stairs(scaled[SHOWN_HOURS, quantity], edges, baseline=None, color=ORANGE, lw=1.2, label="scaled up")
        panel.stairs(mean, edges, baseline=None, color=BLUE, lw=1.8, label="the twin")
        panel.stairs(truth[SHOWN_HOURS, quantity], edges, baseline=None, color=BLACK, lw=1, ls="--", label="all meters")
        panel.set_ylabel(label)
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="y", color="#dddddd", linewidth=0.6)
        panel.margins(x=0)
    axes[-1].xaxis.set_major_locator(dates.DayLocator())
    axes[-1].xaxis.set_major_formatter(dates.DateFormatter("%d %b"))
    axes[0].legend(frameon=False, loc="upper left", bbox_to_anchor=(0, 1.25), ncols=4)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=110, metadata={"Software": None})


def _band(panel: Any, edges: list[Any], mean: Any, width: Any) -> None:
    panel.stairs(
        mean + width, edges, baseline=np.maximum(mean - width, 0), fill=True, color=BLUE, alpha=0.28, lw=0, label="95 %"
    )


if __name__ == "__main__":
    main()
