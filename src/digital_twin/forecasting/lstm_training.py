"""How the LSTM learns: first from many communities at once, then a little more from one.

Windows are drawn by chance, in portions of one shape: teaching takes as long whatever the length of the history, and a
process compiles it once. The gradient is JAX's, through one loop over days and hours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import equinox
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from digital_twin.forecasting.forecaster import TrainingTask
from digital_twin.forecasting.lstm_inputs import (
    DAYS,
    HOURS,
    WINDOW,
    Float32,
    HourlySeries,
    Whole,
    foreseen_weather,
    hourly_series,
    windows_of,
)
from digital_twin.forecasting.lstm_network import LEVELS, MEDIAN, SHAPES, UNITS, Weights

BATCH, PORTION = 64, 16
"""Windows to a step and steps to a portion."""

SERIES_A_PORTION = 16
SEEN_DAYS = 14
"""Of its four weeks a window in training holds at least so many, unless the series is shorter."""

MIDNIGHTS = 0.5
"""Share of the draws whose windows end at midnight, when most forecasts are issued."""

WARM_UP = 0.05
"""Share of the steps in which the learning rate rises."""

LARGEST_GRADIENT = 1.0
FARTHEST_TARGET = 20.0
HEAVIEST = 4.0
"""A window counts at most so many times the usual one."""

jax.config.update("jax_platforms", "cpu")


@dataclass(frozen=True, slots=True)
class Teaching:
    """How long and how fast is learned, and how strongly the weights are held to those that they began with."""

    portions: int
    learning_rate: float
    hold: float = 0.0
    half_life_days: float = 1e6  # windows so much older are drawn half as often
    seed: int = 0


FIRST = Teaching(portions=5, learning_rate=1e-3, hold=3.0, half_life_days=180.0)
"""On the development days of nine real series twice the rate or eight portions lost 1 %, half the rate or three
portions 1 to 2 %; begun with weights that know nothing, 24 portions lost nearly half as much again."""


class Network(equinox.Module):
    """The network as it learns; `lstm_network.quantiles_of` is the same in numpy."""

    day_in: jax.Array
    hour_in: jax.Array
    bias: jax.Array
    recurrent: jax.Array
    out: jax.Array
    out_bias: jax.Array
    skip: jax.Array

    def __call__(self, days: jax.Array, hours: jax.Array) -> jax.Array:
        """Quantiles in spreads from what is usual."""  # (24, N, Q)
        gates = jnp.concatenate([days @ self.day_in + self.bias[0], hours @ self.hour_in + self.bias[1]])
        phase = jnp.repeat(jnp.array([0, 1]), np.array([DAYS, HOURS]), total_repeat_length=DAYS + HOURS)
        still = jnp.zeros((days.shape[1], UNITS))

        def step(state: tuple[jax.Array, jax.Array], given: tuple[jax.Array, jax.Array]) -> Any:
            units, cell = state
            opened = given[0] + units @ self.recurrent[given[1]]
            gates, candidate = jax.nn.sigmoid(opened[:, : 3 * UNITS]), jnp.tanh(opened[:, 3 * UNITS :])
            cell = gates[:, :UNITS] * cell + gates[:, UNITS : 2 * UNITS] * candidate
            units = gates[:, 2 * UNITS :] * jnp.tanh(cell)
            return (units, cell), units

        _, said = jax.lax.scan(step, (still, still), (gates, phase))
        raw = said[DAYS:] @ self.out + self.out_bias + hours @ self.skip
        gaps = jax.nn.softplus(raw)
        median = raw[..., MEDIAN : MEDIAN + 1]
        above = median + jnp.cumsum(gaps[..., MEDIAN + 1 :], axis=-1)
        below = median - jnp.cumsum(gaps[..., :MEDIAN][..., ::-1], axis=-1)[..., ::-1]
        return jnp.concatenate([below, median, above], axis=-1)


def fresh_weights(seed: int) -> Weights:
    """Weights that know nothing: they remember, and say that everything is as usual, more or less."""
    chance = np.random.default_rng(seed)
    bound = UNITS**-0.5
    drawn = {name: chance.uniform(-bound, bound, shape).astype(np.float32) for name, shape in SHAPES.items()}
    drawn["bias"][...] = 0.0
    drawn["bias"][:, :UNITS] = 1.0
    drawn["skip"] *= 0.1
    drawn["out_bias"][...] = -2.0
    drawn["out_bias"][MEDIAN] = 0.0
    return Weights(**drawn)


def series_of(task: TrainingTask) -> HourlySeries:
    """What a task has to teach."""
    return hourly_series(task.history, task.site, foreseen_weather(task.history))


def train(start: Weights, series: Sequence[HourlySeries], back: tuple[int, ...], teaching: Teaching) -> Weights:
    """The weights after being taught by windows of these series, for targets so many days ahead."""
    first, restore = ravel_pytree(network_of(start.to_arrays()))
    learn = _learning()
    flat, state = first, _optimiser().init(first)
    chance = np.random.default_rng(teaching.seed)
    for rates in _rates(teaching):
        windows = draw_windows(series, back, chance, teaching.half_life_days)
        flat, state = learn(flat, state, (first, jnp.float32(teaching.hold)), (windows, rates))
    network = restore(flat)
    return Weights(**{name: np.asarray(getattr(network, name)) for name in SHAPES})


def draw_windows(
    series: Sequence[HourlySeries], back: tuple[int, ...], chance: np.random.Generator, half_life_days: float = 1e6
) -> tuple[Float32, ...]:
    """A portion of windows: inputs of days and hours, targets, and how much each target counts."""
    several = min(1 << (len(series).bit_length() - 1), SERIES_A_PORTION)  # a power of two divides the portion
    parts: list[tuple[Float32, ...]] = []
    for place in chance.choice(len(series), several, replace=False):
        drawn = _draw_from(series[place], back, BATCH * PORTION // several, chance, half_life_days)
        parts.append(drawn)
    order = chance.permutation(BATCH * PORTION)
    whole = (np.concatenate(part, axis=1)[:, order] for part in zip(*parts, strict=True))
    return tuple(np.moveaxis(one.reshape(len(one), PORTION, BATCH, *one.shape[2:]), 1, 0) for one in whole)


def _draw_from(
    series: HourlySeries, back: tuple[int, ...], count: int, chance: np.random.Generator, half_life_days: float
) -> tuple[Float32, ...]:
    ends, ahead = _draw_ends(series, back, count, chance, half_life_days)
    windows = windows_of(series, ends, ahead)
    target = series.values[ends + np.arange(-HOURS, 0)[:, None] + HOURS * ahead]
    known = np.isfinite(target)
    off = np.where(known, (target - windows.usual) / windows.spread, 0.0)
    # a loss in spreads would let calm weeks count as much as wild ones, which the loss in kW does not
    weight = known * np.minimum(windows.spread / windows.spread.mean(), HEAVIEST)
    off = np.clip(off, -FARTHEST_TARGET, FARTHEST_TARGET)
    return windows.days, windows.hours, off.astype(np.float32), weight.astype(np.float32)


def _draw_ends(
    series: HourlySeries, back: tuple[int, ...], count: int, chance: np.random.Generator, half_life_days: float
) -> tuple[Whole, Whole]:
    """Where windows end and how many days ahead their targets lie: the nearer, the more often."""
    reached = [days for days in back if HOURS * days <= (series.values.size - WINDOW) // 2] or [1]
    odds = 0.5 ** np.arange(len(reached))
    ahead = chance.choice(reached, count, p=odds / odds.sum())
    last = series.values.size - HOURS * max(reached)
    first = min(WINDOW + SEEN_DAYS * HOURS, last - HOURS)
    share = 1 - 0.5 ** ((last - first) / HOURS / half_life_days)
    age_days = -np.log2(1 - share * chance.random(count)) * half_life_days
    ends = np.clip(last - (HOURS * age_days).astype(np.int64), first, last)
    at_midnight = chance.random(count) < MIDNIGHTS
    return np.where(at_midnight, np.maximum(ends // HOURS * HOURS, WINDOW), ends), ahead


def _rates(teaching: Teaching) -> Float32:
    """The learning rate of every step: rising at first, then falling as half a cosine."""  # (portions, PORTION)
    steps = teaching.portions * PORTION
    done = (np.arange(steps) + 0.5) / steps
    rates = teaching.learning_rate * np.minimum(1.0, done / WARM_UP) * 0.5 * (1 + np.cos(np.pi * done))
    return rates.astype(np.float32).reshape(teaching.portions, PORTION)


def network_of(arrays: Mapping[str, Float32]) -> Network:
    """The network with these weights."""
    return Network(**{name: jnp.asarray(one) for name, one in arrays.items()})


@cache
def _optimiser() -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(LARGEST_GRADIENT), optax.scale_by_adam())


@cache
def _learning() -> Any:
    """One portion as one compiled function of flat weights: far fewer kernels than one for each of them."""
    _, restore = ravel_pytree(network_of({name: np.zeros(shape, np.float32) for name, shape in SHAPES.items()}))
    levels = jnp.asarray(LEVELS, dtype=jnp.float32)

    def loss(flat: jax.Array, days: jax.Array, hours: jax.Array, target: jax.Array, weight: jax.Array) -> jax.Array:
        error = target[..., None] - restore(flat)(days, hours)
        return (weight[..., None] * jnp.maximum(levels * error, (levels - 1) * error)).mean()

    def learn(flat: Any, state: Any, held: Any, given: Any) -> Any:
        first, hold = held

        def step(carry: Any, given: Any) -> Any:
            flat, state = carry
            batch, rate = given
            update, state = _optimiser().update(jax.grad(loss)(flat, *batch), state)
            return (flat - rate * (update + hold * (flat - first)), state), None

        return jax.lax.scan(step, (flat, state), given)[0]

    return jax.jit(learn, compiler_options={"xla_cpu_multi_thread_eigen": False})
