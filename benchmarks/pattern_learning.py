"""Learn `forecasting/pattern_weights.py` from synthetic homes: `python -m benchmarks.pattern_learning`."""

from collections.abc import Sequence
from pathlib import Path
from pprint import pformat

import numpy as np
from sklearn.linear_model import LogisticRegression

from benchmarks.pattern_homes import KnownHome, known_homes
from digital_twin.domain.units import Array
from digital_twin.forecasting import pattern_detection
from digital_twin.forecasting.pattern_detection import BEHIND_PV, LOOKED_AT, Weights

WEIGHTS = Path(pattern_detection.__file__).with_name("pattern_weights.py")
SEED, HOMES, PENALTY = 1, 50, 0.3

HEADER = '''"""What detectors weigh, by detector and minutes: of each feature its mean, deviation and weight.

Learned by `benchmarks/pattern_learning.py` from synthetic homes alone; no metered home is in it.
"""

'''


def learned(homes: Sequence[KnownHome], detector: str) -> Weights:
    """Logistic regression on what is known of the features; what is not known counts as the mean."""
    device = "heat_pump" if detector == BEHIND_PV else detector
    if detector == BEHIND_PV:
        homes = [home for home in homes if home.has["pv"]]
    shown = [home.used if detector == "heat_pump" else home.features for home in homes]
    names = [name for name in LOOKED_AT[detector] if np.isfinite([one[name] for one in shown]).any()]
    table = np.array([[one[name] for name in names] for one in shown])
    mean, deviation = np.nanmean(table, axis=0), np.nanstd(table, axis=0)
    model = LogisticRegression(C=PENALTY, max_iter=5_000)
    model.fit(_standardised(table, mean, deviation), [home.has[device] for home in homes])
    rows = zip(names, mean, deviation, np.ravel(model.coef_), strict=True)
    features = {name: tuple(_short(one) for one in row) for name, *row in rows}
    return Weights(_short(float(np.ravel(model.intercept_)[0])), features)


def _standardised(table: Array, mean: Array, deviation: Array) -> Array:
    far = pattern_detection.FARTHEST
    return np.nan_to_num((table - mean) / deviation).clip(-far, far)


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def main() -> None:
    homes = list(known_homes(SEED, HOMES))
    found = {
        (detector, minutes): learned([home for home in homes if home.step_minutes == minutes], detector)
        for detector in LOOKED_AT
        for minutes in (15, 60)
    }
    plain = {key: (one.constant, one.features) for key, one in found.items()}
    WEIGHTS.write_text(f"{HEADER}WEIGHTS = {pformat(plain, width=110, sort_dicts=False)}\n")


if __name__ == "__main__":
    main()
