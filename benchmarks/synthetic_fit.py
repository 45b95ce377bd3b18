"""Choose the parameters of a population by chance steps from where they are, looking at half of the metered homes only.

`python -m benchmarks.synthetic_fit 300` goes on for 300 seconds and prints each better recipe; the best is written by
hand into `benchmarks/households.py`.
"""

import sys
import time
from dataclasses import replace

import numpy as np

from benchmarks.households import SWISS, Figures, differences, figures, halves, measured_sky, metered_homes
from digital_twin.simulation.sky import Sky
from digital_twin.simulation.synthetic import Recipe, SyntheticCommunity

SEEDS = (1, 2)
STEP, SHARE_CHANGED = 0.25, 0.35
PART_OF = {
    "shares": ("heat_pump",),
    "habits": ("liveliness", "liveliness_spread", "standby_kw", "standby_spread", "boiler", "night_heating"),
    "heating": ("locked", "loss", "loss_spread"),
}
AT_MOST_ONE = ("heat_pump", "boiler", "night_heating", "locked")


def distance(recipe: Recipe, sky: Sky, real: Figures) -> float:
    """Sum of all differences, in the mean of some seeds."""
    return float(np.mean([sum(one for _, one in differences(_figures(recipe, seed, sky), real)) for seed in SEEDS]))


def _figures(recipe: Recipe, seed: int, sky: Sky) -> Figures:
    homes = SyntheticCommunity(replace(recipe, seed=seed), sky).series()
    return figures(np.stack([home.load_kw for home in homes]))


def step_from(recipe: Recipe, generator: np.random.Generator) -> Recipe:
    """A recipe nearby: some parameters a little larger or smaller."""
    for part, names in PART_OF.items():
        old = getattr(recipe, part)
        changed = {
            name: getattr(old, name) * float(np.exp(STEP * generator.standard_normal()))
            for name in names
            if generator.random() < SHARE_CHANGED
        }
        capped = {name: min(value, 1.0) if name in AT_MOST_ONE else value for name, value in changed.items()}
        recipe = replace(recipe, **{part: replace(old, **capped)})
    return recipe


def main() -> None:
    real, sky = figures(halves(metered_homes())[0]), measured_sky()
    generator = np.random.default_rng(5)
    recipe, best = SWISS, distance(SWISS, sky, real)
    deadline = time.monotonic() + float(sys.argv[1])
    while time.monotonic() < deadline:
        tried = step_from(recipe, generator)
        if (found := distance(tried, sky, real)) < best:
            recipe, best = tried, found
            print(f"{best:.3f}", recipe.shares, recipe.habits, recipe.heating, flush=True)


if __name__ == "__main__":
    main()
