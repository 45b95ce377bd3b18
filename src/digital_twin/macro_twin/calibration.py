"""What a community's history teaches the twin: shares and errors of meters, demand, generation and storage.

Nothing here is tuned to a community: what is not learned from its history is a prior of `model.py` or `demand.py`.
"""

from dataclasses import dataclass, replace

import numpy as np

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.macro_twin.coverage import Indices, Mask, MeterGroup
from digital_twin.macro_twin.demand import Demand, DemandHistory, learn_demand
from digital_twin.macro_twin.felt import feel
from digital_twin.macro_twin.filtering import Dynamics
from digital_twin.macro_twin.kalman import Gaussian
from digital_twin.macro_twin.model import (
    CLOUD_DEVIATION,
    CLOUD_HOURS,
    PANELS,
    Shocks,
    TwinModel,
    make_dynamics,
    start_of,
)
from digital_twin.macro_twin.panel_learning import Learned as LearnedPanel
from digital_twin.macro_twin.panel_learning import PanelHistory, learn_panel
from digital_twin.macro_twin.shares import Learned, MeterHistory, learn_group
from digital_twin.macro_twin.storage import exchange_of, learn_policy
from digital_twin.macro_twin.structure import (
    DEMAND_REMAINDER,
    DEPARTURE_TERMS,
    ENERGY,
    EXCHANGE,
    LOAD,
    NET_LOAD,
    OBSERVED,
    PV,
    PV_CLOUD,
    PV_GAIN,
    PV_REMAINDER,
    STORAGE_SOC,
    Metering,
    calendar_of,
    demand_features,
    slots_of,
)
from digital_twin.macro_twin.units import BATTERIES, ROOFS, learn_patterns

FEWEST_DAYS_OF_SHAPE, SMALLEST_FIT = 3.0, 0.8
BRIGHT, DARK = 0.1, 0.02
"""Parts of the clear-sky output at its best, above and below which the sky counts as bright or dark."""

PV_ERROR = 0.02

UNMETERED_HABIT = 0.2
"""How wrong a habit may be that was taken apart from net load with a generation that nobody metered."""

FEWEST_PAIRS = 48


@dataclass(frozen=True, slots=True, eq=False)
class TwinReadings:
    """Readings on the twin's grid, the four quantities in the order of `OBSERVED`.

    Args:
        grid: with the twin's step
        own: the community-level series, NaN where there is none, (T, 4)
        meters: of each quantity one column a meter of the model's group, each (T, M)
        clear_sky: output of a roof per kW under a cloudless sky, (T,)
        temperature_c: outside, NaN where it is not known, (T,); None where nobody measures it
    """

    grid: TimeGrid
    own: Array
    meters: tuple[Array, ...]
    clear_sky: Array
    temperature_c: Array | None = None

    def between(self, first: int, last: int) -> "TwinReadings":
        """Those of the steps from `first` up to `last`."""
        return TwinReadings(
            TimeGrid(self.grid.instant(first), last - first, self.grid.step_minutes),
            self.own[first:last],
            tuple(np.ascontiguousarray(one[first:last]) for one in self.meters),
            self.clear_sky[first:last],
            None if self.temperature_c is None else self.temperature_c[first:last],
        )


def calibrate(prior: TwinModel, metering: tuple[Metering, ...], readings: TwinReadings) -> TwinModel:
    """The model that the history supports, near the prior where it is short."""
    plant, grid = prior.plant, readings.grid
    slot, kind = calendar_of(grid, plant.timezone, plant.country)
    hour = slot * grid.step_minutes // 60
    panels = {index: _learned_panel(prior, metering[index], readings, index) for index in PANELS if metering[index].ids}
    learned = [
        _learned_group(_history(prior, metering[index], readings, index, hour), panels.get(index))
        for index in range(len(OBSERVED))
    ]
    groups = tuple(one.group for one in learned)
    pv = _generation(prior, learned[PV].whole, readings, slot)
    exchange_kw = exchange_of(
        learned[STORAGE_SOC].whole,
        grid.step_hours * plant.charge_efficiency,
        grid.step_hours / plant.discharge_efficiency,
    )
    pv_kw = np.where(np.isfinite(pv.values_kw), pv.values_kw, pv.gain_kw * pv.sky)
    demand_kw = learned[LOAD].whole
    if not np.isfinite(demand_kw).any():
        demand_kw = learned[NET_LOAD].whole + pv_kw - np.where(np.isfinite(exchange_kw), exchange_kw, 0.0)
    felt_c = feel(readings.temperature_c, grid.steps, before_c=np.nan, step_hours=grid.step_hours)
    degrees = demand_features(slot, grid.step_minutes, felt_c)[:, DEPARTURE_TERMS:]
    demand = learn_demand(prior.demand, DemandHistory(demand_kw, slot, kind, degrees, grid.step_minutes))
    demand = replace(demand, habit_deviation=_habit_deviation(learned, demand, pv))
    usual_kw, capacity_kwh = _storage(prior, learned[STORAGE_SOC].whole, grid.step_hours)
    shocks = Shocks(pv.cloud, pv.cloud_hours, pv.remainder_kw, usual_kw)
    plant = replace(plant, storage_capacity_kwh=capacity_kwh)
    dynamics = make_dynamics(plant, grid.step_minutes, demand, pv.gain_kw, shocks)
    if (followed := learn_policy(exchange_kw, pv_kw - demand_kw, hour, grid.step_hours)) is not None:
        decay = dynamics.decay.copy()
        decay[EXCHANGE], policy = followed
        dynamics = dynamics._replace(decay=decay, policy=policy)
    start = _start(prior, demand, pv, dynamics)
    roofs, batteries = (
        learn_patterns(
            groups[index],
            readings.meters[index],
            learned[index].whole * groups[index].metered_share,
            hour,
            step_hours=grid.step_hours,
            kind=kind,
        )
        for index, kind in ((PV, ROOFS), (STORAGE_SOC, BATTERIES))
    )
    load, net_load = (panels[index].panel if index in panels else None for index in PANELS)
    return TwinModel(
        plant=prior.plant,
        step_minutes=grid.step_minutes,
        start=start,
        dynamics=dynamics,
        demand=demand,
        groups=groups,
        panels=(load, net_load),
        patterns=(roofs, batteries),
        pv_shape=pv.shape,
        days=grid.hours / 24,
    )


def _learned_panel(prior: TwinModel, metering: Metering, readings: TwinReadings, index: int) -> LearnedPanel:
    slot, is_weekend = slots_of(readings.grid, prior.plant.timezone, prior.plant.country)
    history = PanelHistory(
        ids=metering.ids,
        readings=readings.meters[index],
        whole=readings.own[:, index],
        slot=slot.astype(np.int64),
        is_weekend=is_weekend.astype(np.int64),
        step_minutes=readings.grid.step_minutes,
        metered_share=metering.share,
        typical=prior.groups[index].scale,
        is_signed=index == NET_LOAD,
    )
    return learn_panel(history)


def _history(prior: TwinModel, metering: Metering, readings: TwinReadings, index: int, hour: Indices) -> MeterHistory:
    return MeterHistory(
        metering.ids,
        readings.meters[index],
        readings.own[:, index],
        hour,
        readings.grid.step_hours,
        metering.share,
        prior.groups[index].scale,
    )


def _learned_group(history: MeterHistory, panel: LearnedPanel | None) -> Learned:
    """The group with its whole; what is known of a panel's meters is known of them by hours."""
    if panel is None:
        return learn_group(history)
    own = learn_group(replace(history, ids=(), meters=np.empty((history.hour.size, 0)))).group
    return Learned(_by_hour(panel, own), panel.whole)


def _by_hour(learned: LearnedPanel, own: MeterGroup) -> MeterGroup:
    panel = learned.panel
    weight, variance, unmetered = (
        values.reshape(24, panel.slots // 24, -1).mean(axis=1)
        for values in (panel.share, panel.spread**2, panel.unmetered_variance)
    )
    lowest, highest = (np.tile(limit, (24, 1)) for limit in panel.limits)
    return replace(
        own,
        ids=panel.ids,
        metered_share=panel.metered_share,
        weight=weight,
        variance=variance,
        unmetered_variance=unmetered[:, 0],
        ceiling=highest,
        floor=lowest,
        scale=learned.scale,
    )


def _liveliness(series: Array, step_hours: float, deviation: float, hours: float) -> tuple[float, float]:
    """Standard deviation and memory of a first-order process that is seen with white errors; the given ones where
    there is too little to tell.

    The covariances at one and two steps are free of the errors: their ratio is the decay.
    """
    first, second = _autocovariance(series, 1), _autocovariance(series, 2)
    if first is None or second is None or first <= 0:
        return deviation, hours
    decay = float(np.clip(second / first, np.exp(-step_hours / 0.5), np.exp(-step_hours / 24.0)))
    return float(np.clip(np.sqrt(first / decay), 0.01, 3.0)), -step_hours / float(np.log(decay))


def _autocovariance(series: Array, lag: int) -> float | None:
    product = series[lag:] * series[:-lag]
    product = product[np.isfinite(product)]
    return float(product.mean()) if product.size >= FEWEST_PAIRS else None


@dataclass(frozen=True, slots=True, eq=False)
class _Generation:
    values_kw: Array  # (T,)
    sky: Array  # (T,)
    shape: Array  # (slots,) or empty
    gain_kw: float
    deviation_kw: float
    cloud: float
    cloud_hours: float
    remainder_kw: float


def _generation(prior: TwinModel, values_kw: Array, readings: TwinReadings, slot: Indices) -> _Generation:
    """Gain, clouds, and what neither explains."""
    grid = readings.grid
    known = np.isfinite(values_kw)
    gain_kw = float(prior.start.mean[PV_GAIN])
    if known.sum() * grid.step_hours < 24 or not values_kw[known].any():
        own = _Generation(
            values_kw, readings.clear_sky, np.empty(0), gain_kw,
            float(np.sqrt(prior.start.covariance[PV_GAIN, PV_GAIN])), CLOUD_DEVIATION, CLOUD_HOURS, 0.0,
        )  # fmt: skip
        if known.any():  # seen too shortly to learn from, yet never to be contradicted
            own = replace(own, remainder_kw=0.1 * max(float(values_kw[known].max()), prior.plant.pv_capacity_kw))
        return own
    sky, shape = readings.clear_sky, np.empty(0)
    if known.sum() * grid.step_hours >= 24 * FEWEST_DAYS_OF_SHAPE and _fit(values_kw, sky, known) < SMALLEST_FIT:
        shape = _shape(values_kw, slot, 1440 // grid.step_minutes)
        sky = shape[slot]
    gain_kw = float((values_kw[known] @ sky[known]) / max(sky[known] @ sky[known], 1e-9))
    bright = known & (sky > BRIGHT * sky.max())
    dark = known & (sky < DARK * sky.max())
    clouds = np.where(bright, values_kw / np.maximum(gain_kw * sky, 1e-9) - 1, np.nan)
    cloud, hours = _liveliness(clouds, grid.step_hours, CLOUD_DEVIATION, CLOUD_HOURS)
    in_the_dark = float(np.sqrt(np.mean(values_kw[dark] ** 2))) if dark.any() else 0.0
    remainder_kw = max(PV_ERROR * gain_kw, in_the_dark)
    return _Generation(values_kw, sky, shape, gain_kw, 0.1 * gain_kw, cloud, hours, remainder_kw)


def _fit(values: Array, sky: Array, known: Mask) -> float:
    """Correlation with the sky; 0 where either stands still."""
    if values[known].std() == 0 or sky[known].std() == 0:
        return 0.0
    return float(np.corrcoef(values[known], sky[known])[0, 1])


def _shape(values: Array, slot: Indices, slots: int) -> Array:
    """The high output of each slot of the day, as a part of the highest."""  # (slots,)
    shape = np.zeros(slots)
    for index in range(slots):
        seen = values[(slot == index) & np.isfinite(values)]
        shape[index] = np.quantile(seen, 0.9) if seen.size else 0.0
    return shape / max(float(shape.max()), 1e-9)


def _storage(prior: TwinModel, soc_kwh: Array, step_hours: float) -> tuple[float, float]:
    """How strong the exchange usually is, and the capacity: at least what was seen in it."""
    planned = prior.plant.storage_capacity_kwh
    known = np.isfinite(soc_kwh)
    exchange_kw = float(np.sqrt(prior.start.covariance[EXCHANGE, EXCHANGE]))
    if not known.any():
        return exchange_kw, planned
    change = np.diff(soc_kwh) / step_hours
    change = change[np.isfinite(change)]
    if change.size >= FEWEST_PAIRS:
        exchange_kw = max(float(np.sqrt(np.mean(change**2))), 0.1 * exchange_kw)
    return exchange_kw, max(planned, float(soc_kwh[known].max()))


def _habit_deviation(learned: list[Learned], demand: Demand, pv: _Generation) -> float:
    """How wrong the habit may be for lack of meters, as a part of it."""
    quantity = LOAD if np.isfinite(learned[LOAD].whole).any() else NET_LOAD
    from_unmetered = float(np.sqrt(learned[quantity].group.unmetered_variance.mean())) / demand.scale_kw
    is_apart = quantity == LOAD or pv.gain_kw == 0 or np.isfinite(pv.values_kw).any()
    return float(np.hypot(from_unmetered, 0.0 if is_apart else UNMETERED_HABIT))


def _start(prior: TwinModel, demand: Demand, pv: _Generation, dynamics: Dynamics) -> Gaussian:
    mean, deviation = start_of(demand)
    others = slice(DEMAND_REMAINDER + 1, None)
    mean[others], deviation[others] = prior.start.mean[others], np.sqrt(np.diag(prior.start.covariance))[others]
    mean[PV_GAIN], deviation[PV_GAIN] = pv.gain_kw, pv.deviation_kw
    deviation[PV_CLOUD], deviation[PV_REMAINDER] = pv.cloud * pv.gain_kw, pv.remainder_kw
    mean[ENERGY], deviation[ENERGY] = dynamics.capacity_kwh / 2, dynamics.capacity_kwh / np.sqrt(12)
    return Gaussian(mean, np.diag(deviation**2))
