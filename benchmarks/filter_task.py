"""What the filters of `twin_speed` are all given."""

from collections.abc import Callable

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.macro_twin.batch import Beliefs, Steps
from digital_twin.macro_twin.kalman import Transition

STATES, READINGS = 20, 5

Run = Callable[[], Array]
"""A pass over all steps: the states after the last one, (N, n) or (n,)."""


class Task:
    """A model of the twin's kind, with readings from it: states that decay, one that takes from another."""

    def __init__(self, steps: int, communities: int = 1, missing: float = 0.0) -> None:
        generator = np.random.default_rng(0)
        self.steps, self.communities = steps, communities
        self.transition = Transition(
            decay=generator.uniform(0.8, 1.0, STATES),
            noise=generator.uniform(0.01, 0.1, STATES),
            target=np.array([STATES - 1]),
            source=np.array([STATES - 2]),
            gain=np.array([0.25]),
        )
        self.design = generator.normal(0, 1, (READINGS, STATES))
        self.error = generator.uniform(0.05, 0.5, READINGS)
        self.readings = generator.normal(0, 2, (communities, steps, READINGS))
        self.readings[generator.random(self.readings.shape) < missing] = np.nan
        self.seen = ~np.isnan(self.readings)
        self.matrix, self.shocks, self.errors = (
            self.transition.matrix(),
            np.diag(self.transition.noise),
            np.diag(self.error),
        )

    @property
    def start_of_others(self) -> tuple[Array, Array]:
        """Several begin with the prediction for the first step."""
        return np.zeros(STATES), self.matrix @ self.matrix.T + self.shocks

    def beliefs(self) -> Beliefs:
        return Beliefs(np.zeros((self.communities, STATES)), np.tile(np.eye(STATES), (self.communities, 1, 1)))

    def laid_out(self, readings: Array) -> Steps:
        """For `run_many`: one model for all, told once."""

        def for_all(array: Array) -> Array:
            return np.broadcast_to(array, (*readings.shape[:2], *array.shape))

        moved = self.transition
        return Steps(
            decay=for_all(moved.decay),
            noise=for_all(moved.noise),
            target=moved.target,
            source=moved.source,
            gain=for_all(moved.gain),
            design=for_all(self.design),
            value=readings,
            error=for_all(self.error),
        )
