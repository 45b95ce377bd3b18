"""Small linear worlds drawn from a seed, what all their readings at once tell of them, and their filter's trail."""

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.macro_twin.kalman import Gaussian, Transition, predict, spread_of, update, update_in_place
from digital_twin.macro_twin.trail import Trail, keep_belief, keep_reading, new_trail


class World:
    """States that decay, one of which takes from another, under shocks that differ from step to step."""

    def __init__(self, seed: int, *, states: int = 5, steps: int = 8, sensors: int = 3) -> None:
        generator = np.random.default_rng(seed)
        self.transitions = [
            Transition(
                decay=decay,
                noise=generator.uniform(0.01, 0.5, states),
                target=np.array([states - 1]),
                source=np.array([states - 2]),
                gain=generator.normal(0, 1, 1),
            )
            for decay in [generator.uniform(0.5, 1.0, states)] * steps
        ]
        factor = generator.normal(0, 1, (states, states))
        self.start = Gaussian(generator.normal(0, 1, states), np.tril(factor @ factor.T))
        self.designs = generator.normal(0, 1, (steps, sensors, states))
        self.noise = generator.uniform(0.05, 1.0, sensors)
        self.readings = generator.normal(0, 2, (steps, sensors))
        self.readings[generator.random((steps, sensors)) < 0.3] = np.nan

    def beliefs(self) -> list[Gaussian]:
        """What the filter believes at the end of each step."""
        belief, passed = self.start, list[Gaussian]()
        for transition, design, readings in zip(self.transitions, self.designs, self.readings, strict=True):
            belief = update(predict(belief, transition), design, readings, self.noise)
            passed.append(belief)
        return passed

    def filtered(self) -> Gaussian:
        return self.beliefs()[-1]

    def trail(self, shrunk: Array | None = None) -> Trail:
        """What the filter leaves behind, its deviations shrunk at the end of each step by (T, n) if they are."""
        steps, sensors, states = self.designs.shape
        trail = new_trail(steps, states, readings=sensors, couplings=1, asked=sensors)
        belief, product = self.start, np.empty(states)
        for step, transition in enumerate(self.transitions):
            belief = predict(belief, transition)
            trail.coupling[step] = transition.gain
            for sensor, (row, reading) in enumerate(zip(self.designs[step], self.readings[step], strict=True)):
                if not np.isnan(reading):
                    spread = spread_of(belief.covariance, row, product) + self.noise[sensor]
                    innovation = reading - row @ belief.mean
                    keep_reading(trail, (step, sensor), row, product, innovation, spread)
                    update_in_place(belief.mean, belief.covariance, product, innovation, spread)
            if shrunk is not None:
                trail.scale[step] = shrunk[step]
                belief = Gaussian(belief.mean, belief.covariance * np.outer(shrunk[step], shrunk[step]))
            keep_belief(trail, step, belief.mean, belief.covariance, self.designs[step])
        return trail

    def posterior(self, until: int | None = None) -> tuple[Array, Array]:
        """Means (T, n) and covariances (T, n, n) of the states of every step given the readings of the steps before
        `until`, from the joint Gaussian of everything."""
        steps, sensors, states = self.designs.shape
        mean, joint = self._joint()
        rows = np.zeros((steps, sensors, steps, states))
        for step in range(steps):
            rows[step, :, step] = self.designs[step]
        seen = ~np.isnan(self.readings)
        seen[steps if until is None else until :] = False
        design, errors = rows[seen].reshape(-1, steps * states), np.tile(self.noise, (steps, 1))[seen]
        gain = np.linalg.solve(design @ joint @ design.T + np.diag(errors), design @ joint).T
        after = mean + gain @ (self.readings[seen] - design @ mean)
        blocks = (joint - gain @ design @ joint).reshape(steps, states, steps, states)
        return after.reshape(steps, states), np.stack([blocks[step, :, step] for step in range(steps)])

    def _joint(self) -> tuple[Array, Array]:
        """Of all states of all steps before any reading."""
        steps, states = len(self.transitions), self.start.mean.size
        mean, cross = np.zeros((steps, states)), np.zeros((steps, states, steps, states))
        before, spread = self.start.mean, self.start.full_covariance()
        for step, transition in enumerate(self.transitions):
            matrix = transition.matrix()
            before, spread = matrix @ before, matrix @ spread @ matrix.T + np.diag(transition.noise)
            mean[step], cross[step, :, step] = before, spread
            for earlier in range(step):
                cross[step, :, earlier] = matrix @ cross[step - 1, :, earlier]
                cross[earlier, :, step] = cross[step, :, earlier].T
        return mean.ravel(), cross.reshape(steps * states, steps * states)


def full(triangles: Array) -> Array:
    """Both triangles of covariances of which the lower ones are given."""
    return triangles + np.tril(triangles, -1).swapaxes(-1, -2)
