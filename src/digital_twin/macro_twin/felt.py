"""Temperature as buildings feel it: what was outside in the last hours, the latest most."""

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.macro_twin.compiled import compiled

FELT_HOURS = 3.0
"""Time constant: of a utility's load in 2008 and 2009 (GEFCom2014) it foretold the next day better than 0, 2, 4, 6, 12
and 24 hours."""


def feel(temperature_c: Array | None, steps: int, *, before_c: float, step_hours: float) -> Array:
    """The felt temperature of each step; where none is known it stays as it is, NaN before the first.

    Args:
        temperature_c: NaN where there is none, (T,); None without any
        before_c: felt before the first step
    """  # (T,)
    if temperature_c is None:
        return np.full(steps, before_c)
    return _feel(temperature_c, before_c, 1 - float(np.exp(-step_hours / FELT_HOURS)))


@compiled
def _feel(temperature_c: Array, before_c: float, part: float) -> Array:
    felt_c, latest = np.empty(temperature_c.size), before_c
    for step in range(temperature_c.size):
        if not np.isnan(temperature_c[step]):
            latest = temperature_c[step] if np.isnan(latest) else latest + part * (temperature_c[step] - latest)
        felt_c[step] = latest
    return felt_c
