"""The LSTM's weights and what it says, in numpy: whoever forecasts needs no framework.

One recurrent network goes through the 28 days of a window and then through its 24 targets. Its answer at each target is
a median and the gaps from one level to the next, which are never negative, so that quantiles cannot cross.

Source: Hochreiter and Schmidhuber (1997); Gers, Schmidhuber and Cummins (2000) for the gate that forgets.
"""

from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import as_file, files

import numpy as np

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.units import Array
from digital_twin.forecasting.forecaster import Arrays
from digital_twin.forecasting.lstm_inputs import DAY_INPUTS, HOUR_INPUTS, Float32, Windows

LEVELS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.995)
MEDIAN = LEVELS.index(0.5)
UNITS = 48
BASE = "lstm_base.npz"

SHAPES = {
    "day_in": (DAY_INPUTS, 4 * UNITS),
    "hour_in": (HOUR_INPUTS, 4 * UNITS),
    "bias": (2, 4 * UNITS),
    "recurrent": (2, UNITS, 4 * UNITS),
    "out": (UNITS, len(LEVELS)),
    "out_bias": (len(LEVELS),),
    "skip": (HOUR_INPUTS, len(LEVELS)),
}


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Of the network; the parts of the gates are forget, input, output and candidate, the two rows days and hours.

    Raises:
        InvalidInput: they have other shapes, those of a network that sees something else.
    """

    day_in: Float32
    hour_in: Float32
    bias: Float32
    recurrent: Float32
    out: Float32
    out_bias: Float32
    skip: Float32  # straight from a target's inputs to its answer

    def __post_init__(self) -> None:
        for name, shape in SHAPES.items():
            if (found := getattr(self, name).shape) != shape:
                raise InvalidInput(f"the weights {name} must have shape {shape}, got {found}; train anew")

    @classmethod
    def of(cls, arrays: Arrays) -> "Weights":
        """Those of these names."""
        return cls(**{name: np.asarray(arrays[name], dtype=np.float32) for name in SHAPES})

    def to_arrays(self) -> dict[str, Float32]:
        return {one.name: getattr(self, one.name) for one in fields(self)}


@cache
def shipped_base() -> Weights:
    """The weights that every community begins with; how they were made stands beside them under `origin`."""
    with as_file(files("digital_twin.forecasting") / BASE) as path, np.load(path, allow_pickle=False) as archive:
        return Weights.of(archive)


def quantiles_of(weights: Weights, windows: Windows) -> Array:
    """At `LEVELS`, in the unit of the series."""  # (N, 24, Q)
    days = windows.days @ weights.day_in + weights.bias[0]
    hours = windows.hours @ weights.hour_in + weights.bias[1]
    state = np.zeros((2, days.shape[1], UNITS), dtype=np.float32)
    _run(days, weights.recurrent[0], state)
    said = _run(hours, weights.recurrent[1], state)
    raw = (said @ weights.out + weights.out_bias + windows.hours @ weights.skip).astype(np.float64)
    gaps = np.logaddexp(0.0, raw)
    median = raw[..., MEDIAN : MEDIAN + 1]
    above = median + np.cumsum(gaps[..., MEDIAN + 1 :], axis=-1)
    below = median - np.cumsum(gaps[..., MEDIAN - 1 :: -1], axis=-1)[..., ::-1]
    ordered = np.concatenate([below, median, above], axis=-1)
    return (windows.usual[..., None] + windows.spread[:, None] * ordered).transpose(1, 0, 2)


def _run(gates: Float32, recurrent: Float32, state: Float32) -> Float32:
    """What the units say after each step; moves the state on."""  # (T, N, UNITS)
    said = np.empty((*gates.shape[:2], UNITS), dtype=np.float32)
    half = np.full(4 * UNITS, 0.5, dtype=np.float32)
    half[3 * UNITS :] = 1.0
    gates, recurrent = gates * half, recurrent * half  # the logistic function is a tanh of half its argument
    units, cell = state
    for step in range(gates.shape[0]):
        opened = np.tanh(gates[step] + units @ recurrent)
        forget, take, tell = (0.5 + 0.5 * opened[:, part * UNITS : (part + 1) * UNITS] for part in range(3))
        cell[...] = forget * cell + take * opened[:, 3 * UNITS :]
        units[...] = tell * np.tanh(cell)
        said[step] = units
    return said
