"""The worked dispatch cases of the definitions."""

import numpy as np
from tests.builders import MONDAY

from digital_twin.domain.time import TimeGrid
from digital_twin.optimization import DispatchProblem, GridLimits, Outlook, Storage


def case_1() -> DispatchProblem:
    """Four half-hours with one battery; its optimum is unique."""
    return DispatchProblem(
        Outlook(
            TimeGrid(MONDAY, 4, 30),
            np.array([20.0, 40, 60, 90]),
            np.array([80.0, 40, 0, 0]),
            np.array([0.20, 0.20, 0.40, 0.30]),
            np.full(4, 0.05),
            np.array([0.10, 0.25, 0.40, 0.20]),
        ),
        Storage(100, 40, 0.9, 0.8, 20, 20),
        GridLimits(100, 30),
    )


def case_4(steps: int) -> DispatchProblem:
    """A day of one large battery: two humps of load, one of sun, a price with an evening peak."""
    hours = 24 / steps
    h = (np.arange(steps) + 0.5) * hours
    noise = np.random.default_rng(7).normal(0, 1, 96).reshape(steps, -1).mean(axis=1)
    load = 260 + 160 * hump(h, 7.5, 1.6) + 420 * hump(h, 19.2, 2.3) + 60 * hump(h, 13, 3) + 8 * noise
    pv = np.clip(720 * hump(h, 12.8, 2.9) - 6, 0, None)
    price = 0.16 + 0.06 * hump(h, 8, 1.5) + 0.14 * hump(h, 19, 2) - 0.05 * hump(h, 3.5, 2.5) - 0.03 * hump(h, 13, 2)
    return DispatchProblem(
        Outlook(TimeGrid(MONDAY, steps, 1440 // steps), load, pv, price, np.full(steps, 0.08), np.full(steps, 0.3)),
        Storage(1000, 200, 0.95, 0.95, 500, 500),
        GridLimits(800, 300),
    )


def hump(x: np.ndarray, center: float, width: float) -> np.ndarray:
    return np.exp(-(((x - center) / width) ** 2))
