"""How members of a community share energy, and what everyone pays afterwards.

Source: Austrian ElWOG 2010 allocation models (dynamic, static, hybrid); Italian decree TIAD/GSE rules (virtual
sharing with a premium); Spanish RD 244/2019 and TED/1247/2021 (coefficients fixed ahead).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

import numpy as np

from digital_twin.domain.assets import check_range
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.units import Array


class SharingRule(StrEnum):
    """Who gets the shared energy."""

    SINGLE_METER = "single_meter"
    NONE = "none"
    DYNAMIC = "dynamic"
    STATIC = "static"
    HYBRID = "hybrid"


@dataclass(frozen=True, slots=True)
class SharingPremium:
    """The Italian premium on shared energy: bills stay as they are and each shared kWh earns the TIP.

    TIP in currency/MWh = min(cap, base + max(0, 180 - zonal price)) + regional supplement.
    Source: GSE, Regole operative CACER (2024); base 80 and cap 120 for plants up to 200 kW.
    """

    base_per_mwh: float = 80.0
    cap_per_mwh: float = 120.0
    regional_per_mwh: float = 0.0
    refund_per_mwh: float = 0.0

    def __post_init__(self) -> None:
        for name in ("base_per_mwh", "cap_per_mwh", "regional_per_mwh", "refund_per_mwh"):
            check_range(getattr(self, name), name, 0, 10_000)

    def per_kwh(self, zonal_price_per_kwh: Array) -> Array:
        """The premium in each interval."""  # (T,)
        tip = np.minimum(self.cap_per_mwh, self.base_per_mwh + np.maximum(0.0, 180.0 - 1e3 * zonal_price_per_kwh))
        return (tip + self.regional_per_mwh + self.refund_per_mwh) / 1e3


@dataclass(frozen=True, slots=True)
class Sharing:
    """The sharing rule of a community with its prices; `premium` replaces the Austrian price components."""

    rule: SharingRule = SharingRule.SINGLE_METER
    settlement_minutes: int = 15
    sharing_price_per_kwh: float | None = None
    network_charge_per_kwh: float = 0.0
    premium: SharingPremium | None = None

    def __post_init__(self) -> None:
        if self.settlement_minutes not in (15, 30, 60):
            raise InvalidInput(
                f"settlement_minutes must be 15, 30 or 60, got {self.settlement_minutes}", field="settlement_minutes"
            )
        check_range(self.network_charge_per_kwh, "network_charge_per_kwh", 0, 10)
        if self.sharing_price_per_kwh is not None:
            check_range(self.sharing_price_per_kwh, "sharing_price_per_kwh", -10, 10)

    @property
    def is_shared(self) -> bool:
        """Whether any energy is shared between meters."""
        return self.rule in (SharingRule.DYNAMIC, SharingRule.STATIC, SharingRule.HYBRID)

    def gain_per_kwh(
        self, import_price_per_kwh: Array, export_price_per_kwh: Array, zonal_price_per_kwh: Array | None = None
    ) -> Array:
        """What each shared kWh is worth to the community as a whole.

        The sharing price is a transfer between members and cancels. A gain above the spread between import and
        export price would pay for circular trade.

        Raises:
            InvalidInput: a premium is paid but the zonal price is not given.
        """  # (T,)
        if not self.is_shared:
            return np.zeros_like(import_price_per_kwh)
        if self.premium is None:
            return import_price_per_kwh - self.network_charge_per_kwh - export_price_per_kwh
        if zonal_price_per_kwh is None:
            raise InvalidInput("a sharing premium needs the zonal price of each interval", field="zonal_price_per_kwh")
        return self.premium.per_kwh(zonal_price_per_kwh)


@dataclass(frozen=True, slots=True, eq=False)
class Registers:
    """The import and export registers of every member: never netted across members or over time."""

    import_kwh: Array  # (N, T)
    export_kwh: Array  # (N, T)

    @classmethod
    def of(cls, load_kwh: Array, generation_kwh: Array) -> "Registers":
        """What the meters of homes with this load and generation show."""
        net = load_kwh - generation_kwh
        return cls(import_kwh=np.maximum(net, 0.0), export_kwh=np.maximum(-net, 0.0))

    def per_settlement_interval(self, steps: int) -> "Registers":
        """Registers summed over blocks of `steps` intervals."""
        members = self.import_kwh.shape[0]
        return Registers(
            import_kwh=self.import_kwh.reshape(members, -1, steps).sum(axis=2),
            export_kwh=self.export_kwh.reshape(members, -1, steps).sum(axis=2),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Allocation:
    """Shared energy by member: what each receives and what each supplies; both sum to the same."""

    received_kwh: Array  # (N, T)
    supplied_kwh: Array  # (N, T)

    @property
    def shared_kwh(self) -> Array:
        """Shared energy of each interval, at most the smaller of imports and exports."""  # (T,)
        return self.received_kwh.sum(axis=0)


def allocate(rule: SharingRule, registers: Registers, coefficients: Array | None = None) -> Allocation:
    """Share the exports of each settlement interval among the importers.

    Args:
        coefficients: each member's fixed share of the exports, summing to at most 1; for static and hybrid.  # (N,)

    Raises:
        InvalidInput: a rule with fixed shares without coefficients, or with ones that do not add up.
    """
    total_export = registers.export_kwh.sum(axis=0)
    if rule in (SharingRule.SINGLE_METER, SharingRule.NONE):
        received = np.zeros_like(registers.import_kwh)
    elif rule is SharingRule.DYNAMIC:
        received = _in_proportion(registers.import_kwh, total_export)
    elif rule in (SharingRule.STATIC, SharingRule.HYBRID):
        shares = _check_coefficients(coefficients, registers.import_kwh.shape[0])
        received = np.minimum(registers.import_kwh, shares[:, None] * total_export)
        if rule is SharingRule.HYBRID:
            left = total_export - received.sum(axis=0)
            received = received + _in_proportion(registers.import_kwh - received, left)
    else:
        assert_never(rule)
    return Allocation(received, _in_proportion(registers.export_kwh, received.sum(axis=0)))


def _in_proportion(demand_kwh: Array, supply_kwh: Array) -> Array:
    """Supply handed out in proportion to demand, nobody getting more than they ask for."""  # (N, T)
    total = demand_kwh.sum(axis=0)
    fraction = np.divide(np.minimum(supply_kwh, total), total, out=np.zeros_like(total), where=total > 0)
    return demand_kwh * fraction


def _check_coefficients(coefficients: Array | None, members: int) -> Array:
    if coefficients is None or coefficients.shape != (members,):
        raise InvalidInput(
            f"this sharing rule needs a sharing_coefficient for each of the {members} members",
            field="sharing_coefficient",
        )
    if (coefficients < 0).any() or coefficients.sum() > 1 + 1e-9:
        raise InvalidInput(
            f"sharing coefficients must be >= 0 and sum to at most 1, they sum to {coefficients.sum():g}",
            field="sharing_coefficient",
        )
    return coefficients


def community_cost(
    registers: Registers,
    shared_kwh: Array,
    import_price_per_kwh: Array,
    export_price_per_kwh: Array,
    gain_per_kwh: Array,
) -> float:
    """What the community as a whole pays: imports, less exports, less the gain on shared energy."""
    return float(
        registers.import_kwh.sum(axis=0) @ import_price_per_kwh
        - registers.export_kwh.sum(axis=0) @ export_price_per_kwh
        - shared_kwh @ gain_per_kwh
    )


def member_bills(
    registers: Registers,
    allocation: Allocation,
    sharing: Sharing,
    import_price_per_kwh: Array,
    export_price_per_kwh: Array,
) -> Array:
    """What each member pays: retail for what is left, the sharing price and network charge for what is received.

    With a premium the retail bills stay as they are; the premium goes to the community and is not split here.
    """  # (N,)
    retail = registers.import_kwh @ import_price_per_kwh - registers.export_kwh @ export_price_per_kwh
    if sharing.premium is not None or not sharing.is_shared:
        return retail
    sharing_price = (
        export_price_per_kwh
        if sharing.sharing_price_per_kwh is None
        else np.full_like(import_price_per_kwh, sharing.sharing_price_per_kwh)
    )
    saved = allocation.received_kwh @ (import_price_per_kwh - sharing_price - sharing.network_charge_per_kwh)
    earned = allocation.supplied_kwh @ (sharing_price - export_price_per_kwh)
    return retail - saved - earned
