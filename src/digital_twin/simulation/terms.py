"""What a simulation is asked, apart from the community's past."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digital_twin.domain.sharing import Sharing, SharingRule
from digital_twin.domain.tariff import CapacityCharge
from digital_twin.simulation.scenario import Setting


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """What is asked: which scenarios, over how long, from which seed."""

    settings: tuple[Setting, ...]  # the first is the community as it is
    sharing: Sharing  # the prices; the rule is each setting's
    num_prosumers: float  # in the community as it is
    days: int
    seed: int
    billing_period: NDArray[np.int64]  # (days,)
    capacity_charge: CapacityCharge | None = None


def has_fixed_shares(rule: SharingRule) -> bool:
    """Whether the rule goes by each member's coefficient."""
    return rule in (SharingRule.STATIC, SharingRule.HYBRID)
