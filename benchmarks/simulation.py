"""How fast years are simulated, and how few of them are needed.

Everyone simulates the same homes, each with PV and a battery behind its own meter, over the same 8,736 hours, and finds
the same cost. A building-year is one home over one year of hours.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np

from benchmarks.measure import Result, milliseconds, report, rounds_asked, significant, take_turns
from digital_twin.domain.sharing import Sharing, SharingRule
from digital_twin.simulation.base_year import BaseYear, base_grid
from digital_twin.simulation.kernel import OWN_METERS, Profiles, Site, Year, simulate_year
from digital_twin.simulation.known_year import synthetic_year
from digital_twin.simulation.monte_carlo import Study, simulate_runs
from digital_twin.simulation.outcomes import TOTALS
from digital_twin.simulation.place import Place
from digital_twin.simulation.scenario import Setting
from digital_twin.simulation.terms import Terms

HOMES = 64
DAYS = 364
VIENNA = Place(48.2, 16.4, "Europe/Vienna")
NOW = datetime(2026, 3, 2, tzinfo=UTC)
CAPACITY_KWH, POWER_KW, EFFICIENCY, PV_KW = 6.0, 3.0, 0.95, 4.0
AGREEMENT = 1e-6
RUNS, REPLICATES = 160, 24
HOURS_OF_A_YEAR = 8_760


class HomesWithBatteries:
    """The same 64 homes for everyone."""

    def __init__(self) -> None:
        self.grid = base_grid(NOW, 60)
        load, pv, _ = synthetic_year(self.grid, VIENNA, HOMES)
        self.load = np.ascontiguousarray(load, dtype=np.float64)  # (T, N)
        self.sun = pv.sum(axis=1, dtype=np.float64)  # (T,) per kW
        hour = np.arange(self.grid.steps) % 24
        self.buy = np.where((hour >= 17) & (hour < 21), 0.35, 0.22)
        self.sell = np.full(self.grid.steps, 0.07)

    @property
    def years(self) -> float:
        return HOMES * self.grid.steps / HOURS_OF_A_YEAR

    def ours(self, _: int = 0) -> float:
        """The kernel, with limits, registers, bills, emissions and all."""
        days = np.arange(DAYS)
        shares = np.repeat(self.sun[:, None] / HOMES, HOMES, axis=1).astype(np.float32)
        paths = np.stack([self.buy, self.sell, np.full(self.grid.steps, 0.2)], axis=1)
        profiles = Profiles(self.load.astype(np.float32), shares, paths, 24)
        none = np.zeros(HOMES)
        year = Year(days, days, np.zeros(DAYS), np.ones(HOMES), none, 0.0, PV_KW * HOMES, (0, 1), (0, 1), (0, 1))
        site = Site(
            OWN_METERS, 1.0, 1, none, False, 0.0, np.nan, (np.nan, 0, 0), CAPACITY_KWH * HOMES, POWER_KW * HOMES,
            np.full(HOMES, 1 / HOMES), EFFICIENCY, EFFICIENCY, 1e6, 1e6, True, 0.0, 0.0, np.zeros(DAYS, np.int64),
        )  # fmt: skip
        return float(simulate_year(profiles, year, site)[0][TOTALS.index("cost")])

    def plain_python(self, _: int = 0) -> float:
        """Two loops over lists, as one writes it first: cost alone."""
        cost = 0.0
        sun, buy, sell = self.sun.tolist(), self.buy.tolist(), self.sell.tolist()
        for home in range(HOMES):
            load, soc = self.load[:, home].tolist(), 0.0
            for step in range(self.grid.steps):
                net = load[step] - PV_KW * sun[step]
                if net < 0:
                    into = min(-net, POWER_KW, (CAPACITY_KWH - soc) / EFFICIENCY)
                    soc += EFFICIENCY * into
                    cost += sell[step] * (net + into)
                else:
                    out = min(net, POWER_KW, soc * EFFICIENCY)
                    soc -= out / EFFICIENCY
                    cost += buy[step] * (net - out)
        return cost

    def numpy_over_homes(self, _: int = 0) -> float:
        """One loop over steps, all homes at once: cost alone."""
        cost, soc = 0.0, np.zeros(HOMES)
        for step in range(self.grid.steps):
            net = self.load[step] - PV_KW * self.sun[step]
            into = np.minimum(np.minimum(np.maximum(-net, 0), POWER_KW), (CAPACITY_KWH - soc) / EFFICIENCY)
            out = np.minimum(np.minimum(np.maximum(net, 0), POWER_KW), soc * EFFICIENCY)
            soc += EFFICIENCY * into - out / EFFICIENCY
            meter = net + into - out
            cost += self.buy[step] * np.maximum(meter, 0).sum() - self.sell[step] * np.maximum(-meter, 0).sum()
        return float(cost)


def check_agreement(contestants: dict[str, Callable[[int], float]]) -> float:
    """All find the same cost; profiles are kept as float32."""
    costs = {name: one(0) for name, one in contestants.items()}
    first = next(iter(costs.values()))
    if any(abs(cost - first) > AGREEMENT * abs(first) for cost in costs.values()):
        raise RuntimeError(f"they do not agree: {costs}")
    return first


def speed(rounds: int) -> tuple[list[list[str]], str]:
    homes = HomesWithBatteries()
    contestants: dict[str, Callable[[int], float]] = {
        "ours": homes.ours,
        "numpy over the homes": homes.numpy_over_homes,
        "plain Python loop": homes.plain_python,
    }
    cost = check_agreement(contestants)
    timings = take_turns(contestants, rounds=rounds, clock=time.process_time)
    rows = [
        [
            f"{name}: {HOMES} homes, hourly year",
            milliseconds(timings.of(name)),
            significant(homes.years / timings.of(name).median),
            "1" if name == "ours" else timings.ratio(name, "ours").text(),
        ]
        for name in contestants
    ]
    return rows, f"All find a cost of {cost:,.2f} within a millionth."


def study(seed: int) -> Study:
    """A community of 64 homes behind one meter, a year of hours."""
    grid = base_grid(NOW, 60)
    load, pv, temperature_c = synthetic_year(grid, VIENNA, HOMES)
    hour = np.arange(grid.steps) % 24
    prices = np.where((hour >= 17) & (hour < 21), 0.35, 0.22)
    degrees = np.maximum(15 - temperature_c.reshape(DAYS, -1).mean(axis=1), 0.0)
    base = BaseYear(grid, load, pv, degrees, prices, np.full(grid.steps, 0.07), np.full(grid.steps, 0.2)).as_one()
    setting = Setting(HOMES, 200.0, 200.0, 80.0, 1e4, 1e4, 0.95, 0.95, SharingRule.SINGLE_METER)
    return Study(base, Terms((setting,), Sharing(), HOMES, DAYS, seed, np.zeros(DAYS, np.int64)))


def precision() -> list[str]:
    """How much less the mean of 160 runs varies than that of plain draws, over repetitions with other seeds."""
    means = np.array([simulate_runs(study(seed), 0, RUNS).of("cost")[0].mean() for seed in range(REPLICATES)])
    plain = np.concatenate([simulate_runs(study(1_000 + seed), 0, 1).of("cost")[0] for seed in range(600)])
    ratio = plain.var(ddof=1) / RUNS / means.var(ddof=1)
    half_width = 1.96 * means.std(ddof=1) / abs(means.mean())
    plain_runs = (1.96 * plain.std(ddof=1) / (half_width * abs(plain.mean()))) ** 2
    return [
        f"Mean annual cost of {RUNS} runs over {REPLICATES} seeds: randomised Sobol points vary "
        f"{significant(ratio)} times less (variance) than plain draws, to {100 * half_width:.2f} % (95 %); "
        f"plain draws need {significant(plain_runs)} runs for that.",
    ]


def main() -> None:
    rounds = rounds_asked(__doc__ or "", 9)
    rows, agreed = speed(rounds)
    notes = [agreed, *precision(), "The clock is the processor's, one thread."]
    columns = ("simulation", "ms: median (quartiles)", "building-years a second", "x ours")
    report(Result("simulation", columns, rows, notes), "scripts/bench simulation")


if __name__ == "__main__":
    main()
