"""How demand answers to prices: elasticities turned into symmetric slopes."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.time import LocalClock
from digital_twin.domain.units import Array

SHORT_RUN_ELASTICITY = -0.126
"""Electricity, short run, mean over the literature.

Source: Labandeira, Labeaga, Lopez-Otero 2017, A meta-analysis on the price elasticity of energy demand, Energy Policy
102, 549-568.
"""

Indices = np.ndarray[tuple[int], np.dtype[np.int64]]
MAX_ELASTICITY = 10.0


@dataclass(frozen=True, slots=True)
class Elasticity:
    """Relative change of demand per relative change of price.

    `own` is that of an interval to its own price. `cross` is that of an interval to the prices of all other intervals
    of its local day together, spread evenly over them: above 0, energy is used at another hour instead.

    Raises:
        InvalidInput: an own elasticity outside -10..0, a cross elasticity outside -10..10.
    """

    own: float = SHORT_RUN_ELASTICITY
    cross: float = 0.0

    def __post_init__(self) -> None:
        if not -MAX_ELASTICITY <= self.own <= 0:
            raise InvalidInput(
                f"elasticity must lie in {-MAX_ELASTICITY:g}..0 (demand falls where its price rises), got {self.own}",
                field="elasticity",
            )
        if not -MAX_ELASTICITY <= self.cross <= MAX_ELASTICITY:
            raise InvalidInput(
                f"elasticity.cross must lie in {-MAX_ELASTICITY:g}..{MAX_ELASTICITY:g}, got {self.cross}",
                field="elasticity.cross",
            )


@dataclass(frozen=True, slots=True, eq=False)
class DemandResponse:
    """Linear demand d = d0 + B (p - p_reference): the consumer surplus behind it exists because B is symmetric.

    B is negative semidefinite and couples the intervals of one local day only.
    """

    slopes: sp.csr_array  # (T, T) kW per currency/kWh
    is_diagonal: bool
    distortion: float  # |B - asked| / |asked| in the Frobenius norm: what symmetry and definiteness have cost

    def change_kw(self, price_change_per_kwh: Array) -> Array:
        """What a change of prices does to demand."""  # (T,)
        return self.slopes @ price_change_per_kwh


def demand_response(
    load_kw: Array, reference_price_per_kwh: Array, elasticity: Elasticity, day: Indices
) -> DemandResponse:
    """The slopes elasticity x load / price, made symmetric and cut to their negative eigenvalues.

    Args:
        load_kw: demand at the reference price.  # (T,)
        day: the local calendar day of each interval.  # (T,)

    Raises:
        InvalidInput: a reference price of 0 or less, of which nothing is a relative change.
    """
    wrong = np.flatnonzero(~(reference_price_per_kwh > 0))
    if wrong.size:
        raise InvalidInput(
            f"the present import price must be above 0 for an elasticity to have a meaning, interval {int(wrong[0])} "
            "is not; give reference_price_per_kwh",
            field="reference_price_per_kwh",
        )
    if elasticity.cross == 0:
        own = elasticity.own * load_kw / reference_price_per_kwh
        return DemandResponse(sp.csr_array(sp.diags_array(own)), is_diagonal=True, distortion=0.0)
    blocks, asked, missed = [], 0.0, 0.0
    for one in np.unique(day):
        inside = day == one
        wanted = _slopes_of_day(load_kw[inside], reference_price_per_kwh[inside], elasticity)
        made = _nearest_concave(wanted)
        asked, missed = asked + float((wanted**2).sum()), missed + float(((made - wanted) ** 2).sum())
        blocks.append(made)
    slopes = sp.csr_array(sp.block_diag(blocks))
    order = np.argsort(np.argsort(day, kind="stable"), kind="stable")
    return DemandResponse(slopes[order][:, order], is_diagonal=False, distortion=float(np.sqrt(missed / (asked or 1))))


def _slopes_of_day(load_kw: Array, price_per_kwh: Array, elasticity: Elasticity) -> Array:
    others = max(1, load_kw.size - 1)
    relative = np.full((load_kw.size, load_kw.size), elasticity.cross / others)
    np.fill_diagonal(relative, elasticity.own)
    return relative * load_kw[:, None] / price_per_kwh[None, :]


def _nearest_concave(slopes: Array) -> Array:
    """The nearest symmetric negative semidefinite matrix.

    Source: Higham 1988, Linear Algebra Appl. 103, theorem 2.1.
    """
    values, vectors = np.linalg.eigh((slopes + slopes.T) / 2)
    made = (vectors * np.minimum(values, 0.0)) @ vectors.T
    return (made + made.T) / 2


def equal_blocks(steps: int, blocks: int) -> Indices:
    """The price block of each interval when the horizon is cut into equal ones. Raises InvalidInput if it cannot be."""
    if not 1 <= blocks <= steps or steps % blocks:
        raise InvalidInput(
            f"blocks must divide the {steps} intervals of the horizon into equal parts, got {blocks}; "
            "or give the local hours at which a new price begins",
            field="blocks",
        )
    return np.repeat(np.arange(blocks), steps // blocks)


def blocks_of_hours(hours: tuple[float, ...], clock: LocalClock) -> Indices:
    """The price block of each interval when a new price begins at these hours of every local day.

    Before the first hour the last price of the day before goes on. An hour that a clock change repeats stays in its
    block.

    Raises:
        InvalidInput: hours that do not rise from 0 to below 24.
    """
    begins = np.array(hours, dtype=np.float64)
    if not begins.size or (np.diff(begins) <= 0).any() or begins[0] < 0 or begins[-1] >= 24:
        raise InvalidInput(
            "blocks must be rising local hours from 0 to below 24, such as [0, 6, 17, 21]", field="blocks"
        )
    within = np.searchsorted(begins, clock.hour, side="right") - 1
    name = clock.day * begins.size + within  # -1 is the last block of the day before
    return np.unique(name, return_inverse=True)[1].astype(np.int64)
