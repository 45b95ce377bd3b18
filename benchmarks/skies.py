"""What tells how believable a sky is: the clear-sky share every half hour, and how far two skies differ."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.simulation.place import Place
from digital_twin.simulation.sky import moving_sky
from digital_twin.simulation.streams import Purpose, stream

GOLDEN = Path(__file__).parents[2] / "shared" / "data" / "pvdaq_system50"
PLACE, BRIGHTNESS = Place(39.74, -105.18, "America/Denver"), 1.5
CHOSEN_ON, TESTED_ON = (2011, 2012), 2013
LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9)
CHANGES = (0.5, 0.75, 0.9, 0.95, 0.99)
LAGS = (1, 2, 4)
STEPS_A_DAY = 48
BY_DAY_WM2 = 150.0


def measured_share(*years: int) -> Array:
    """Satellite irradiance over that of a clear sky in Golden, Colorado; NaN near the horizon."""  # (T,)
    frame = pd.read_parquet(GOLDEN / "nsrdb_psm3_30min.parquet").set_index("time")
    frame = frame[np.isin(pd.DatetimeIndex(frame.index).year, years)]
    return _share(frame.ghi.to_numpy(), frame.ghi_clear.to_numpy())


def drawn_share(seed: int) -> Array:
    """The same of a drawn sky over three years."""  # (T,)
    grid = TimeGrid(datetime(2011, 1, 1, 7, tzinfo=UTC), 3 * 365 * STEPS_A_DAY, 30)
    sky = moving_sky(stream(seed, Purpose.SKY), grid, PLACE, BRIGHTNESS)
    return _share(sky.ghi_wm2, sky.clear_ghi_wm2)


def sky_differences(found: Array, real: Array) -> dict[str, float]:
    """Mean distances of quantiles and of correlations."""
    return {
        "clear-sky share": _of_quantiles(LEVELS, found, real),
        "its change in half an hour": _of_quantiles(CHANGES, np.abs(np.diff(found)), np.abs(np.diff(real))),
        "its correlation after 30 min, 1 h, 2 h": float(
            np.mean([abs(_correlation_after(lag, found) - _correlation_after(lag, real)) for lag in LAGS])
        ),
        "mean of a day": _of_quantiles(LEVELS, _days(found), _days(real)),
    }


def _share(ghi_wm2: Array, clear_wm2: Array) -> Array:
    return np.where(clear_wm2 > BY_DAY_WM2, ghi_wm2 / np.maximum(clear_wm2, 1.0), np.nan)


def _days(share: Array) -> Array:
    return np.nanmean(share.reshape(-1, STEPS_A_DAY), axis=1)


def _of_quantiles(levels: tuple[float, ...], found: Array, real: Array) -> float:
    return float(np.abs(np.nanquantile(found, levels) - np.nanquantile(real, levels)).mean())


def _correlation_after(steps: int, values: Array) -> float:
    first, then = values[:-steps], values[steps:]
    both = np.isfinite(first) & np.isfinite(then)
    return float(np.corrcoef(first[both], then[both])[0, 1])
