"""Variables between 0 and their room in a primal-dual interior point, all of one step: those of the community."""

import numpy as np

from digital_twin.domain.units import Array

_NEAR = 0.02  # of its room: nearer to a bound the least multiplier grows no more


class BoundedVector:
    """Slack above 0 and the multipliers of both bounds, whose difference is kept equal to the reduced cost."""

    def __init__(self, room: Array, weight: float) -> None:
        self._free = room > 0
        self.room = np.where(self._free, room, 1.0)
        self.weight = weight
        self.slack = np.where(self._free, 0.5 * self.room, 0.0)
        self.lower = np.zeros(room.size)
        self.upper = np.zeros(room.size)

    @property
    def total_weight(self) -> float:
        """Of all bounds."""
        return 2 * self.weight * float(self._free.sum())

    @property
    def products(self) -> float:
        """The sum of slack times multiplier."""
        return float(self.slack @ self.lower + self._above @ self.upper)

    @property
    def spread(self) -> Array:
        """By how much each variable gives way to its reduced cost."""
        return np.where(self._free, 1 / (self.lower / self._below + self.upper / self._above + ~self._free), 0.0)

    @property
    def _below(self) -> Array:
        return np.where(self._free, self.slack, 1.0)

    @property
    def _above(self) -> Array:
        return np.where(self._free, self.room - self.slack, 1.0)

    def centre(self, reduced: Array, barrier: float) -> None:
        """The point of the central path for these reduced costs."""
        share = barrier * self.weight
        root = np.sqrt((self.room * reduced) ** 2 + 4 * share**2)
        larger = (2 * share + self.room * np.abs(reduced) + root) / (2 * self.room)
        near = share / larger
        smaller = share / (self.room - near)
        self._set(
            np.where(reduced > 0, near, self.room - near),
            np.where(reduced > 0, larger, smaller),
            np.where(reduced > 0, smaller, larger),
        )

    def _set(self, slack: Array, lower: Array, upper: Array) -> None:
        self.slack, self.lower, self.upper = (np.where(self._free, values, 0.0) for values in (slack, lower, upper))

    def longest(self, move: Array) -> float:
        """Part of the direction up to the first bound, at most 1."""
        return 1 / max(1.0, float(np.max(np.maximum(-move / self._below, move / self._above))))

    def _without_centring(self, move: Array) -> tuple[Array, Array]:
        """Changes of the multipliers that go with a direction straight to the optimum."""
        return -self.lower * (1 + move / self._below), -self.upper * (1 - move / self._above)

    def targets(self, move: Array, barrier: float, clip: float) -> tuple[Array, Array]:
        """Products to aim at: the share less the error of second order, clipped to a multiple of it."""
        share = barrier * self.weight
        below, above = self._without_centring(move)
        most = clip * share
        return (
            np.where(self._free, share - np.clip(move * below, -most, most), 0.0),
            np.where(self._free, share + np.clip(move * above, -most, most), 0.0),
        )

    def shifted(self, reduced: Array, targets: tuple[Array, Array]) -> Array:
        """Reduced costs shifted by the targets."""
        return reduced + targets[1] / self._above - targets[0] / self._below

    def change(self, move: Array, target: Array) -> Array:
        """Of the lower multipliers, with a direction that aims at the target."""
        return np.where(self._free, (target - self.lower * move) / self._below - self.lower, 0.0)

    def lifted(self, changes: tuple[Array, Array], part: float, least: float) -> tuple[float, Array, Array]:
        """The products and multipliers after a part of the changes, both lifted by the same to a least product."""
        low, high = self.lower + part * changes[0], self.upper + part * changes[1]
        least, near = least * self.weight, _NEAR * self.room
        lift = np.maximum(least / np.maximum(self._below, near) - low, least / np.maximum(self._above, near) - high)
        lift = np.maximum(lift, 0.0)
        low, high = (np.where(self._free, values + lift, 0.0) for values in (low, high))
        return float(self.slack @ low + self._above @ high), low, high
