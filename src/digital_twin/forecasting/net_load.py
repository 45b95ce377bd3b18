"""Net load from load and generation, and back."""

from dataclasses import replace

import numpy as np

from digital_twin.forecasting.dependence import TYPICAL, Dependence
from digital_twin.forecasting.forecast import Forecast
from digital_twin.forecasting.paths import Paths, sample_paths, values_at

POINTS = 41


def combine_net_load(load: Forecast, pv: Forecast, *, dependence: Dependence = TYPICAL) -> Forecast:
    """Load minus generation; exact in the mean, in the quantiles as their errors hang together.

    Every equally likely point of the load is met by those of the generation that the Gaussian copula of `sample_paths`
    expects beside it, so that these are the quantiles of infinitely many of its paths.
    """
    from scipy.special import ndtr, ndtri

    probabilities = (np.arange(POINTS) + 0.5) / POINTS
    score, rest = ndtri(probabilities)[:, None], ndtri(probabilities)[None, :]
    correlation = dependence.correlation
    beside = ndtr(correlation * score + np.sqrt(1 - correlation**2) * rest)
    generation = values_at(pv, beside.ravel()).reshape(-1, POINTS, POINTS)
    differences = values_at(load, probabilities)[:, :, None] - generation
    quantiles = np.quantile(differences.reshape(load.grid.steps, -1), load.levels, axis=1).T
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


def split_net_paths(
    net_load: Forecast, pv: Forecast, *, count: int, dependence: Dependence = TYPICAL, seed: int = 0
) -> Paths:
    """Sample paths behind net meters: their differences are paths of the net load.

    Generation is what is expected, or what is fed in where that is more.
    """
    net_kw = sample_paths(net_load, pv, count=count, dependence=dependence, seed=seed).load_kw
    pv_kw = np.maximum(pv.mean, -net_kw)
    return Paths(net_kw + pv_kw, pv_kw)
