"""A panel of meters: what those that reported say about the whole community, and how sure that is.

Meter i shows y_i = profile_i + share_i d + spread_i (f_i + l_i + n_i): what it usually shows at this time of such a
day, its part of a driver d that moves them all (weather, holidays), and what is its own: a fast and a lasting part,
both with memory, and news. The driver is scale x (a + b), a fast and a slow one. The whole is what the reporting meters
showed and what the silent ones are expected to show.

Whether all meters use more, or each of them does for reasons of its own, cannot be told from a day. The lasting part of
a meter is therefore kept as a line, l_i = level_i + slope_i b: what is learned of the slow driver later mends what each
meter seemed to tell about itself before. Given the driver, meters are independent; so one sum over the reporting ones
moves the driver, and the work grows with their number alone.

Source: Doucet, de Freitas, Murphy and Russell (2000), UAI 16, 176-183 (states that are Gaussian given a common one).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.units import Array

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]

FAST, LASTING, NEWS = range(3)
"""Parts of what is a meter's own."""


class Driver(NamedTuple):
    """What moves all meters together."""

    scale: Array  # (S,) kW by slot of the day
    fast_decay: float
    slow_decay: float
    fast_variance: float
    slow_variance: float


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """The meters of one quantity and what was learned of each; slots are those of the local day."""

    ids: tuple[str, ...]
    metered_share: float
    profile: Array  # (2 S, M) kW by slot of workdays, then of weekends
    share: Array  # (S, M) of the driver, sums to 1 over the meters
    spread: Array  # (S, M) kW, standard deviation of what is a meter's own
    parts: Array  # (3, M) of its variance: fast, lasting, news; they sum to 1
    fast_decay: Array  # (M,)
    lasting_decay: float
    driver: Driver
    unmetered_variance: Array  # (S,) of homes without a meter around their part
    limits: Array  # (2, M) the lowest and the highest reading that is not doubted

    @property
    def slots(self) -> int:
        """Of a day."""
        return self.share.shape[0]


def panel_arrays(panel: Panel) -> dict[str, NDArray[Any]]:
    """All of it but the ids, in as few bytes as it takes."""
    driver = panel.driver
    numbers = [panel.metered_share, panel.lasting_decay, *driver[1:]]
    of_panel = {name: getattr(panel, name).astype(np.float32) for name in _ARRAYS}
    return {**of_panel, "scale": driver.scale, "numbers": np.array(numbers)}


def panel_from(ids: tuple[str, ...], arrays: dict[str, NDArray[Any]]) -> Panel:
    """The panel of `panel_arrays`."""
    metered_share, lasting_decay, *driver = arrays["numbers"].tolist()
    of_panel: dict[str, Array] = {name: arrays[name].astype(np.float64) for name in _ARRAYS}
    return Panel(
        ids=ids,
        metered_share=metered_share,
        lasting_decay=lasting_decay,
        driver=Driver(arrays["scale"], *driver),
        **of_panel,
    )


_ARRAYS = ("profile", "share", "spread", "parts", "fast_decay", "unmetered_variance", "limits")


class PanelMemory(NamedTuple):
    """What is believed of the driver and of each meter's own parts, in units of their spread."""

    driver: Array  # (5,) fast, slow, their variances and covariance
    noise: Array  # (2,) factor on the fast driver's variance, design effect
    fast: Array  # (M,)
    level: Array  # (M,) of the lasting part where the slow driver is 0
    slope: Array  # (M,) of the lasting part in the slow driver
    fast_variance: Array  # (M,)
    lasting_variance: Array  # (M,) given the slow driver
    side: Array  # (2, M) above its limits 1, below -1: times the readings in a row; and of the last that counted
    shown: Array  # (2, M) the last reading and the last that counted

    @classmethod
    def at_rest(cls, panel: Panel) -> "PanelMemory":
        """Before any reading."""
        count, driver = len(panel.ids), panel.driver
        return cls(
            driver=np.array([0.0, 0.0, driver.fast_variance, driver.slow_variance, 0.0]),
            noise=np.ones(2),
            fast=np.zeros(count),
            level=np.zeros(count),
            slope=np.zeros(count),
            fast_variance=panel.parts[FAST].copy(),
            lasting_variance=panel.parts[LASTING].copy(),
            side=np.zeros((2, count)),
            shown=np.zeros((2, count)),
        )

    def copy(self) -> "PanelMemory":
        """One that may be moved on."""
        return PanelMemory(*(array.copy() for array in self))


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """What the panel says of the whole community in each step, given the readings up to its end."""

    mean: Array  # (T,)
    variance: Array  # (T,)
    lasting: Array  # (T,) part of the variance that lasts from step to step
    share: Array  # (T,) of the whole that reporting meters stand for, 0..1
    surprise: Array  # (T,) squared innovation of their sum over its variance, NaN where none reported
    reporting: Indices  # (T,)
