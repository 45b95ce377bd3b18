"""The state taken apart for the reader: what the storage exchanges and loses, and what no meter shows."""

import math
from dataclasses import dataclass

import numpy as np

from digital_twin.domain.time import TimeGrid
from digital_twin.domain.units import Array
from digital_twin.macro_twin.calibration import TwinReadings
from digital_twin.macro_twin.coverage import Mask, are_believed, believed_own
from digital_twin.macro_twin.model import PANELS, TwinModel
from digital_twin.macro_twin.panel_filter import believed
from digital_twin.macro_twin.state import TwinState
from digital_twin.macro_twin.structure import EXCHANGE, LOAD, PV, STORAGE_SOC, slots_of


@dataclass(frozen=True, slots=True)
class Part:
    """What is believed of one part, and the standard deviation of its error."""

    mean: float
    deviation: float


def parts_of(state: TwinState, model: TwinModel, readings: TwinReadings) -> dict[str, Part]:
    """The parts in the last step of the readings, which the state has taken up.

    The net charge is what the storage takes less what it gives on the AC side; the unmetered remainders are demand,
    generation and stored energy less what the believed readings of that step show.
    """
    exchange_kw = float(state.belief.mean[EXCHANGE])
    deviation_kw = math.sqrt(max(float(state.belief.covariance[EXCHANGE, EXCHANGE]), 0.0))
    return {
        "net_charge_kw": Part(exchange_kw, deviation_kw),
        "storage_losses_kw": losses_of(
            exchange_kw, deviation_kw, model.plant.charge_efficiency, model.plant.discharge_efficiency
        ),
        "unmetered_demand_kw": _unmetered(state, model, readings, LOAD),
        "unmetered_pv_kw": _unmetered(state, model, readings, PV),
        "unmetered_storage_soc_kwh": _unmetered(state, model, readings, STORAGE_SOC),
    }


def losses_of(exchange_kw: float, deviation_kw: float, charge_efficiency: float, discharge_efficiency: float) -> Part:
    """What conversion takes from a normally distributed exchange: a share of what is charged, another of what is given.

    Source: truncated normal distribution, Johnson, Kotz and Balakrishnan (1994), Continuous Univariate Distributions 1,
    chapter 13.
    """
    charging, giving = 1 - charge_efficiency, 1 / discharge_efficiency - 1
    if deviation_kw == 0:
        return Part(max(charging * exchange_kw, -giving * exchange_kw), 0.0)
    ratio = exchange_kw / deviation_kw
    likelihood = 0.5 * (1 + math.erf(ratio / math.sqrt(2)))
    density = math.exp(-(ratio**2) / 2) / math.sqrt(2 * math.pi)
    charged = exchange_kw * likelihood + deviation_kw * density
    charged_squared = (exchange_kw**2 + deviation_kw**2) * likelihood + exchange_kw * deviation_kw * density
    given, given_squared = charged - exchange_kw, exchange_kw**2 + deviation_kw**2 - charged_squared
    mean = charging * charged + giving * given
    variance = charging**2 * charged_squared + giving**2 * given_squared - mean**2
    return Part(mean, math.sqrt(max(variance, 0.0)))


def _unmetered(state: TwinState, model: TwinModel, readings: TwinReadings, quantity: int) -> Part:
    shown = float(believed_own(readings.own[-1:], model.groups)[0, quantity])
    if math.isnan(shown):
        step = TimeGrid(readings.grid.instant(readings.grid.steps - 1), 1, readings.grid.step_minutes)
        last: Array = readings.meters[quantity][-1:]
        shown = float(last[believed_meters(model, step, last, quantity)].sum())
    remainder = max(float(state.estimate[quantity]) - shown, 0.0)
    return Part(remainder, float(state.deviation[quantity]))


def believed_meters(model: TwinModel, grid: TimeGrid, meters: Array, quantity: int) -> Mask:
    """Which readings are there and no more, nor less, than their meter ever shows."""  # (T, M)
    panel = model.panels[PANELS.index(quantity)] if quantity in PANELS else None
    if panel is not None:
        return np.isfinite(believed(meters, panel.limits))
    slot, _ = slots_of(grid, model.plant.timezone)
    return are_believed(meters, (slot * grid.step_minutes // 60).astype(np.int64), model.groups[quantity])
