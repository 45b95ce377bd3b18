"""What each silent meter is worth: by how much surer the twin would be of the whole if it reported too."""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.macro_twin.coverage import Mask, MeterGroup
from digital_twin.macro_twin.panel import NEWS, Panel, PanelMemory
from digital_twin.macro_twin.panel_filter import moved_on


@dataclass(frozen=True, slots=True, eq=False)
class Expecting:
    """What is known of the next readings before any has come: reading = loading @ drivers + what is the meter's own."""

    loading: Array  # (M, K)
    own: Array  # (M,) variances
    drivers: Array  # (K, K) covariance of what moves all meters
    unmetered: Array  # (K,) loading of the homes without a meter
    unmetered_variance: float  # of what is their own


def expecting_of_panel(panel: Panel, memory: PanelMemory, kind: int) -> Expecting:
    """One step after the memory; `kind` is the slot of the local day, counted on by a day on weekends."""
    following, slot = moved_on(panel, memory), kind % panel.slots
    scale, spread = panel.driver.scale[slot], panel.spread[slot]
    moved = panel.share[slot] * scale
    fast, slow, together = following.driver[2], following.driver[3], following.driver[4]
    own = following.fast_variance + following.lasting_variance + panel.parts[NEWS]
    elsewhere = scale * (1 - panel.metered_share) / panel.metered_share
    return Expecting(
        loading=np.column_stack([moved, moved + spread * following.slope]),
        own=following.noise[1] * spread**2 * own,
        drivers=np.array([[fast, together], [together, slow]]),
        unmetered=np.array([elsewhere, elsewhere]),
        unmetered_variance=float(panel.unmetered_variance[slot]),
    )


def expecting_of_group(group: MeterGroup, hour: int, spread_kw2: float) -> Expecting:
    """In this hour of the local day, where the whole has this variance before any meter is read."""
    return Expecting(
        loading=group.metered_share * group.weight[hour][:, None],
        own=group.variance[hour],
        drivers=np.array([[spread_kw2]]),
        unmetered=np.array([1 - group.metered_share]),
        unmetered_variance=float(group.unmetered_variance[hour]),
    )


def variance_of_whole(expecting: Expecting, reporting: Mask) -> float:
    """Of the error of the whole where these meters report: what is the silent ones' own, and what they have in common
    with all, as far as the sum of the reporting ones does not tell it."""
    shown, erring, rest = _sums(expecting, reporting)
    silent = float(expecting.own @ ~reporting) + expecting.unmetered_variance
    return silent + float(_in_common(expecting, rest, shown, erring))


def value_of_meters(expecting: Expecting, reporting: Mask) -> Array:
    """By how much `variance_of_whole` would fall if one silent meter reported too, for each; 0 for those that do.

    One pass over the meters. Below 0 where a meter is so erratic that its part of the sum would harm.

    Source: var(regression estimator), Särndal, Swensson and Wretman (1992), Model Assisted Survey Sampling, section
    7.3, with a prior of what is common.
    """  # (M,)
    shown, erring, rest = _sums(expecting, reporting)
    now = _in_common(expecting, rest, shown, erring)
    then = _in_common(expecting, rest - expecting.loading, shown + expecting.loading, erring + expecting.own)
    return np.where(reporting, 0.0, expecting.own + now - then)


def _sums(expecting: Expecting, reporting: Mask) -> tuple[Array, Array, Array]:
    """What the reporting ones hold of the drivers, the variance of their own, and what the others hold."""
    shown = reporting @ expecting.loading
    rest = ~reporting @ expecting.loading + expecting.unmetered
    return shown, np.asarray(reporting @ expecting.own), rest


def _in_common(expecting: Expecting, rest: Array, shown: Array, erring: Array) -> Array:
    """Variance of what the silent ones hold of the drivers, once a sum that shows so much of them is read."""
    before = np.einsum("...i,ij,...j", rest, expecting.drivers, rest)
    together = np.einsum("...i,ij,...j", rest, expecting.drivers, shown)
    spread = np.einsum("...i,ij,...j", shown, expecting.drivers, shown) + erring
    return before - np.divide(together**2, spread, out=np.zeros_like(before), where=spread > 0)
