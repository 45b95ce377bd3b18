"""What the twin expects of the next steps, and how sure it is: its own transition, without readings."""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.macro_twin.filtering import NO_TRAIL, Inputs, Outlook, run_filter
from digital_twin.macro_twin.model import TwinModel
from digital_twin.macro_twin.state import TwinState, not_negative
from digital_twin.macro_twin.structure import OBSERVED


@dataclass(frozen=True, slots=True, eq=False)
class Forecasted:
    """Each of the steps, in the order of `ESTIMATED`."""

    mean: Array  # (T, 4)
    deviation: Array  # (T, 4)


def predict_ahead(state: TwinState, model: TwinModel, outlook: Outlook) -> Forecasted:
    """The steps after the state, from nothing but the state: the errors of all states, and of how they move, add up."""
    silence = (outlook.clear_sky.size, len(OBSERVED))
    inputs = Inputs(
        outlook=outlook,
        value=np.full(silence, np.nan),
        share=np.zeros(silence),
        noise=np.zeros(silence),
        lasting=np.zeros(silence),
        exact=np.zeros(len(OBSERVED)),
    )
    mean, covariance = state.belief.mean.copy(), state.belief.covariance.copy()
    _, estimates, variances, _ = run_filter(mean, covariance, state.memory, model.dynamics, inputs, NO_TRAIL)
    return Forecasted(not_negative(estimates), np.sqrt(variances))
