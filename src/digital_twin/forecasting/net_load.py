"""Net load from load and generation, and back."""

from dataclasses import replace

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.forecasting.forecast import Forecast

POINTS = 41


def combine_net_load(load: Forecast, pv: Forecast) -> Forecast:
    """Load minus generation; exact in the mean, in the quantiles as of independent errors.

    The distributions are laid out on equally likely points and every pair is subtracted.
    """
    probabilities = (np.arange(POINTS) + 0.5) / POINTS
    one, other = _spread(load, probabilities), _spread(pv, probabilities)
    differences = (one[:, :, None] - other[:, None, :]).reshape(load.grid.steps, -1)
    quantiles = np.quantile(differences, load.levels, axis=1).T
    return Forecast(
        variable="net_load_kw",
        grid=load.grid,
        issued_at=load.issued_at,
        mean=load.mean - pv.mean,
        levels=load.levels,
        quantiles=quantiles,
        model=f"{load.model} - {pv.model}",
        assumptions=(*load.assumptions, *pv.assumptions),
        data_start=load.data_start or pv.data_start,
        data_end=load.data_end or pv.data_end,
    )


def split_net_load(net_load: Forecast, pv: Forecast) -> tuple[Forecast, Forecast]:
    """Load and generation behind net meters: estimates whose difference is the metered net load.

    Generation is at least what is fed in. The load's errors are taken to be as large as those of the net load, of
    which they are a part.
    """
    more = np.maximum(-net_load.mean - pv.mean, 0.0)
    generation = replace(pv, mean=pv.mean + more, quantiles=pv.quantiles + more[:, None])
    mean = net_load.mean + generation.mean
    load = replace(
        net_load,
        variable="load_kw",
        mean=mean,
        quantiles=np.maximum(mean[:, None] + net_load.quantiles - net_load.mean[:, None], 0.0),
        model=f"{net_load.model} + {pv.model}",
        assumptions=("load and generation are not metered apart: load is net load plus the estimated generation",),
    )
    return load, generation


def _spread(forecast: Forecast, probabilities: Array) -> Array:
    """Values at these probabilities, linear between the levels and beyond the outermost."""  # (T, P)
    levels = np.asarray(forecast.levels)
    upper = np.clip(np.searchsorted(levels, probabilities), 1, levels.size - 1)
    share = (probabilities - levels[upper - 1]) / (levels[upper] - levels[upper - 1])
    low, high = forecast.quantiles[:, upper - 1], forecast.quantiles[:, upper]
    return low + share * (high - low)
