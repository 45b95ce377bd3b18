"""The search for a fleet's plan: iterations of the interior point, bounds once they are near, more where it stalls."""

import time
from collections.abc import Callable
from contextlib import suppress

import numpy as np
from scipy.linalg import LinAlgError

from digital_twin.optimization.fleet.bounds import Bounds
from digital_twin.optimization.fleet.grid import GridSide
from digital_twin.optimization.fleet.interior_point import InteriorPoint
from digital_twin.optimization.fleet.plan import FleetProgress
from digital_twin.optimization.fleet.presolve import StandardFleet

MOST_ITERATIONS = 60
NEAR = 40.0
"""Bounds are looked for from so many times the tolerance on."""

LOOK_EVERY = 20
"""Iterations after which bounds are looked at however far they seem, as where the connection costs nothing."""

MOST_LOOKS = 12
MOST_REFINED = 15
MOST_RECENTRED = 4

_LEAST_BARRIER = 0.3
_BLOWN_UP = 5.0
_SETTLED = 6


class Search:
    """One search; what it finds stands in `bounds`.

    Args:
        until: when to stop, on the monotonic clock.
    """

    def __init__(
        self, standard: StandardFleet, grid: GridSide, bounds: Bounds, *, until: float,
        progress: Callable[[FleetProgress], None],
    ) -> None:  # fmt: skip
        self._standard, self._grid = standard, grid
        self._until, self._progress = until, progress
        self.bounds = bounds
        self.iterations = 0

    @property
    def is_late(self) -> bool:
        return time.monotonic() >= self._until

    def run(self) -> None:
        """Search until the bounds meet, the time is up, or nothing more helps.

        Own steps of the units come first; where they do not end well, a run with one step for all, which shrinks what
        is missing of the balance in every iteration.
        """
        for common_step in (False, True):
            # what is no number any more starts anew from the best prices; the bounds found until then stand
            with suppress(LinAlgError), np.errstate(all="ignore"):
                self._iterate(InteriorPoint(self._standard, self._grid, common_step=common_step))
            for _ in range(MOST_REFINED):
                if self.bounds.met or self.is_late:
                    return
                self.bounds.refine()
                self._progress(self.bounds.progress(self.iterations))

    def _iterate(self, point: InteriorPoint) -> None:
        bounds, tolerance = self.bounds, self.bounds.tolerance
        best, kept, looks, recentred = np.inf, (point.prices, point.iterate.price.copy()), 0, 0
        for iteration in range(MOST_ITERATIONS):
            self.iterations += 1
            products = point.measure()
            scale = max(abs(float(self._grid.cost @ point.side.slack)), 0.01 * self._grid.retail_cost, 1e-12)
            least = _LEAST_BARRIER * tolerance * scale
            blown_up = products > _BLOWN_UP * max(best, 2 * least) and iteration > _SETTLED
            if blown_up or not np.isfinite(products):
                recentred += 1
                if recentred > MOST_RECENTRED or not np.isfinite(best):
                    return
                point.prices, point.iterate.price[:] = kept
                point.centre(3 * best / point.total_weight)
                best = np.inf
                continue
            if products <= best:
                best, kept = products, (point.prices, point.iterate.price.copy())
            is_last = self.is_late or iteration == MOST_ITERATIONS - 1
            if products < NEAR * tolerance * scale or is_last or iteration % LOOK_EVERY == LOOK_EVERY - 1:
                looks += 1
                bounds.look_at(point.iterate.slack[:, 2], point.prices)
                if bounds.met or is_last or looks == MOST_LOOKS:
                    self._progress(bounds.progress(self.iterations))
                    return
            self._progress(bounds.progress(self.iterations))
            point.step(least / point.total_weight)
