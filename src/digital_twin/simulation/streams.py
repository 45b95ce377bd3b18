"""Streams of chance: each thing of each home draws from its own, found by number instead of by order.

A home is therefore the same whatever is drawn before it, however many follow, and whatever else it or others have.
"""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What is drawn; the numbers are part of what a seed means."""

    SKY = 0
    SPOT = 1
    APPLIANCES = 2
    ROOF = 3
    BATTERY = 4
    VEHICLE = 5
    JOURNEYS = 6
    HEATING = 7
    HOT_WATER = 8


def stream(seed: int, purpose: Purpose, home: int = 0) -> np.random.Generator:
    """The generator of one purpose in one home."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose, home)))
