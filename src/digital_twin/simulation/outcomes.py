"""What simulated years add up to, and how well their mean is known."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from digital_twin.domain.units import Array

TOTALS = (
    "cost",
    "emissions_kg",
    "load_kwh",
    "generation_kwh",
    "curtailed_kwh",
    "imported_kwh",
    "exported_kwh",
    "shared_kwh",
    "left_import_kwh",
    "left_pv_export_kwh",
    "charged_kwh",
    "discharged_kwh",
    "final_soc_kwh",
    "peak_import_kw",
    "beyond_import_limit_kwh",
    "beyond_export_limit_kwh",
)
"""What a year adds up to; `left_...` is what remains after the shared energy."""

SCRAMBLES = 10
"""Groups of runs with a Sobol sequence of their own; their means give the interval by Student's t."""

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """What some runs came to, in the order of their numbers."""

    totals: Array  # (S, R, K) columns as in `TOTALS`
    bills: Array  # (S, R, N + 1) of a home of each profile, and of the storage's or the common meter

    @classmethod
    def joined(cls, parts: "Sequence[Outcomes]") -> "Outcomes":
        """Parts in the order of their runs."""
        return cls(
            np.concatenate([part.totals for part in parts], axis=1),
            np.concatenate([part.bills for part in parts], axis=1),
        )

    @property
    def runs(self) -> int:
        return self.totals.shape[1]

    def of(self, name: str) -> Array:
        """One of the `TOTALS`."""  # (S, R)
        return self.totals[:, :, TOTALS.index(name)]

    def is_precise(self, target_precision: float) -> bool:
        """Whether the mean cost of every scenario is known this well."""
        return all(estimate(cost).precision <= target_precision for cost in self.of("cost"))

    def to_bytes(self) -> bytes:
        """As a finished part is kept."""
        out = io.BytesIO()
        np.savez(out, allow_pickle=False, totals=self.totals, bills=self.bills)
        return out.getvalue()

    @classmethod
    def from_bytes(cls, payload: bytes) -> "Outcomes":
        """What `to_bytes` made bytes of."""
        with np.load(io.BytesIO(payload), allow_pickle=False) as packed:
            return cls(packed["totals"], packed["bills"])


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over years with its confidence interval."""

    mean: float
    low: float
    high: float

    @property
    def precision(self) -> float:
        """Half the interval's width as a share of the mean."""
        half = (self.high - self.low) / 2
        return half / abs(self.mean) if self.mean else (0.0 if half == 0 else float("inf"))


def estimate(values: Array) -> Estimate:
    """The mean of runs 0, 1, ... with the interval of the scrambles' means, by Student's t.

    Source: L'Ecuyer and Lemieux (2002), section 2.
    """  # (R,)
    groups = scramble_of(np.arange(values.size))
    means = np.array([values[groups == group].mean() for group in np.unique(groups)])
    mean = float(values.mean())
    error = float(means.std(ddof=1) / np.sqrt(means.size))
    half = float(stdtrit(means.size - 1, (1 + CONFIDENCE) / 2)) * error
    return Estimate(mean, mean - half, mean + half)


def scramble_of(runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """The group that each run belongs to."""
    return runs % SCRAMBLES
