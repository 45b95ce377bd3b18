"""Draw what the macro twin makes of few meters: python -m docs.explanation.draw_silent_meters.

It needs the Swiss homes of the benchmarks; their test part is not looked at.
"""

from pathlib import Path

import numpy as np
from benchmarks.twin_data import swiss_homes
from benchmarks.twin_nowcast import Case
from matplotlib import pyplot as plt

FIGURE = Path(__file__).parent / "figures" / "silent_meters.svg"
TRUTH, TWIN, SCALED = "#222222", "#1f5fa8", "#c96a12"
DAYS = 4


def main() -> None:
    community = swiss_homes()
    case = Case.of(community, community.develop)
    shown = case.shown("for days", 0.9, seed=1)
    ours, peers = case.nowcast(shown), case.peers(shown)
    part = slice(0, DAYS * community.a_day)
    hours = np.arange(part.stop) * community.grid.step_hours
    low, high = ours.mean - 1.96 * ours.deviation, ours.mean + 1.96 * ours.deviation
    _, axes = plt.subplots(figsize=(9, 3.4))
    axes.fill_between(hours, low[part], high[part], color=TWIN, alpha=0.2, lw=0)
    axes.plot(hours, peers["share scaling"][part], color=SCALED, lw=0.8, label="scaled up by shares")
    axes.plot(hours, ours.mean[part], color=TWIN, lw=1.2, label="twin")
    axes.plot(hours, case.truth[part], color=TRUTH, lw=1, label="all meters")
    axes.set_xticks(range(0, 24 * DAYS + 1, 12), ["0:00", "12:00"] * DAYS + ["0:00"])
    axes.set_ylabel("load of 536 homes, kW")
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=3)
    plt.tight_layout()
    plt.savefig(FIGURE, metadata={"Date": None})


if __name__ == "__main__":
    main()
