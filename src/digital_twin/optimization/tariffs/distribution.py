"""Who gains and who loses by a tariff: the bill and the surplus of every member whose load is known."""

from dataclasses import dataclass

import numpy as np

from digital_twin.domain.units import Array
from digital_twin.optimization.tariffs.accounting import demand_at
from digital_twin.optimization.tariffs.plan import TariffProblem

DECILES = tuple(round(0.1 * tenth, 1) for tenth in range(1, 10))
FEWEST_FOR_DECILES = 10
UNCHANGED = 1e-9
"""Changes of surplus up to this, relative to the bill, make nobody better or worse off."""


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """What members pay for their load at the import price, and what they gain; what PV earns is not in it."""

    bill_before: Array  # (N,)
    bill_after: Array  # (N,)
    surplus_change: Array  # (N,)

    @property
    def gains(self) -> float:
        """What those gain who gain."""
        return float(np.maximum(self.surplus_change, 0.0).sum())

    @property
    def losses(self) -> float:
        """What those lose who lose, as a number >= 0."""
        return float(np.maximum(-self.surplus_change, 0.0).sum())

    @property
    def share_better_off(self) -> float:
        better = self.surplus_change > UNCHANGED * np.abs(self.bill_before)
        return float(better.mean())

    @property
    def deciles(self) -> dict[float, float] | None:
        """Deciles of the change of surplus; None for fewer than ten members."""
        if self.surplus_change.size < FEWEST_FOR_DECILES:
            return None
        return dict(zip(DECILES, np.quantile(self.surplus_change, DECILES).tolist(), strict=True))


def distribute(problem: TariffProblem, price_per_kwh: Array, member_load_kw: Array) -> Distribution:
    """Bills and surpluses of members; each answers to prices in proportion, as the community does.

    Args:
        member_load_kw: loads at the present tariff.  # (N, T)
    """
    reference, hours = problem.outlook.import_price_per_kwh, problem.outlook.grid.step_hours
    load_kw, demand_kw = problem.outlook.load_kw, demand_at(problem, price_per_kwh)
    answer = np.divide(demand_kw, load_kw, out=np.ones_like(load_kw), where=load_kw > 0)
    after_kw = member_load_kw * answer
    return Distribution(
        bill_before=hours * member_load_kw @ reference,
        bill_after=hours * after_kw @ price_per_kwh,
        surplus_change=-hours * (member_load_kw + after_kw) / 2 @ (price_per_kwh - reference),
    )
