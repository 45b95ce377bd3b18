"""Sharing among members: the worked case of the definitions, and what must hold for any community."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.sharing import (
    Registers,
    Sharing,
    SharingPremium,
    SharingRule,
    allocate,
    community_cost,
    member_bills,
)

LOAD = np.array([[1, 1, 1, 1], [1, 6, 3, 0], [1, 2, 2, 4]], dtype=float)
GENERATION = np.array([[5, 5, 0, 3], [0, 0, 0, 0], [0, 0, 0, 0]], dtype=float)
REGISTERS = Registers.of(LOAD, GENERATION)
RETAIL, FEED_IN = np.full(4, 0.30), np.full(4, 0.06)
COEFFICIENTS = np.array([0, 0.5, 0.5])
NORTH = SharingPremium(regional_per_mwh=10)
"""Northern Italy, plants up to 200 kW."""


@pytest.mark.parametrize(
    ("rule", "shared", "received", "bills", "total"),
    [
        (SharingRule.NONE, [0, 0, 0, 0], [0, 0, 0], [-0.30, 3.00, 2.70], 5.40),
        (SharingRule.DYNAMIC, [2, 4, 0, 2], [0, 4, 4], [-0.62, 2.60, 2.30], 4.28),
        (SharingRule.STATIC, [2, 4, 0, 1], [0, 3, 4], [-0.58, 2.70, 2.30], 4.42),
        (SharingRule.HYBRID, [2, 4, 0, 2], [0, 3, 5], [-0.62, 2.70, 2.20], 4.28),
    ],
)
def test_the_worked_day_is_shared_and_billed_as_written(
    rule: SharingRule, shared: list[float], received: list[float], bills: list[float], total: float
) -> None:
    sharing = Sharing(rule, 15, sharing_price_per_kwh=0.10, network_charge_per_kwh=0.10)
    allocation = allocate(rule, REGISTERS, COEFFICIENTS)
    np.testing.assert_allclose(allocation.shared_kwh, shared)
    np.testing.assert_allclose(allocation.received_kwh.sum(axis=1), received)
    np.testing.assert_allclose(member_bills(REGISTERS, allocation, sharing, RETAIL, FEED_IN), bills)
    gain = sharing.gain_per_kwh(RETAIL, FEED_IN)
    cost = community_cost(REGISTERS, allocation.shared_kwh, RETAIL, FEED_IN, gain)
    assert cost == pytest.approx(total)
    if rule is not SharingRule.NONE:
        assert gain == pytest.approx(np.full(4, 0.14))
        # the community pays the network charge beside what the members pay each other
        assert sum(bills) == pytest.approx(total)


def test_an_hour_of_settlement_shares_more() -> None:
    hourly = REGISTERS.per_settlement_interval(4)
    assert hourly.import_kwh.sum() == 20
    assert hourly.export_kwh.sum() == 10
    assert allocate(SharingRule.DYNAMIC, hourly).shared_kwh.sum() == 10


def test_the_italian_premium_leaves_bills_as_they_are() -> None:
    sharing = Sharing(SharingRule.DYNAMIC, 60, premium=NORTH)
    hourly = REGISTERS.per_settlement_interval(4)
    allocation = allocate(SharingRule.DYNAMIC, hourly)
    gain = sharing.gain_per_kwh(RETAIL[:1], FEED_IN[:1], np.array([0.150]))
    assert gain[0] * allocation.shared_kwh.sum() == pytest.approx(1.20)
    assert community_cost(hourly, allocation.shared_kwh, RETAIL[:1], FEED_IN[:1], gain) == pytest.approx(4.20)
    np.testing.assert_allclose(member_bills(hourly, allocation, sharing, RETAIL[:1], FEED_IN[:1]), [-0.30, 3.00, 2.70])
    np.testing.assert_allclose(NORTH.per_kwh(np.array([0.200, 0.160, 0.100])), [0.090, 0.110, 0.130])


def test_netting_over_members_would_be_wrong() -> None:
    net = (
        np.maximum((LOAD - GENERATION).sum(axis=0), 0) @ RETAIL
        - np.maximum((GENERATION - LOAD).sum(axis=0), 0) @ FEED_IN
    )
    assert net == pytest.approx(3.48)


energies = arrays(float, (4, 6), elements=st.floats(0, 100))


@given(energies, energies, st.sampled_from(SharingRule))
def test_sharing_never_makes_energy(load: np.ndarray, generation: np.ndarray, rule: SharingRule) -> None:
    registers = Registers.of(load, generation)
    allocation = allocate(rule, registers, np.array([0.1, 0.2, 0.3, 0.4]))
    imports, exports = registers.import_kwh, registers.export_kwh
    assert (allocation.received_kwh <= imports + 1e-9).all()
    assert (allocation.supplied_kwh <= exports + 1e-9).all()
    assert (allocation.received_kwh >= -1e-12).all()
    np.testing.assert_allclose(allocation.received_kwh.sum(0), allocation.supplied_kwh.sum(0), atol=1e-9)
    assert (allocation.shared_kwh <= np.minimum(imports.sum(0), exports.sum(0)) + 1e-9).all()
    if rule in (SharingRule.DYNAMIC, SharingRule.HYBRID):
        np.testing.assert_allclose(allocation.shared_kwh, np.minimum(imports.sum(0), exports.sum(0)), atol=1e-9)


@given(energies, energies)
def test_what_members_pay_is_what_the_community_pays(load: np.ndarray, generation: np.ndarray) -> None:
    registers = Registers.of(load, generation)
    sharing = Sharing(SharingRule.DYNAMIC, sharing_price_per_kwh=0.12, network_charge_per_kwh=0.05)
    retail, feed_in = np.linspace(0.2, 0.4, 6), np.full(6, 0.06)
    allocation = allocate(SharingRule.DYNAMIC, registers)
    bills = member_bills(registers, allocation, sharing, retail, feed_in)
    cost = community_cost(registers, allocation.shared_kwh, retail, feed_in, sharing.gain_per_kwh(retail, feed_in))
    assert bills.sum() == pytest.approx(cost, abs=1e-6)


@pytest.mark.parametrize(
    "coefficients", [None, np.array([0.5, 0.5]), np.array([0.6, 0.5, 0]), np.array([-0.1, 0.5, 0])]
)
def test_fixed_shares_need_coefficients_that_add_up(coefficients: np.ndarray | None) -> None:
    with pytest.raises(InvalidInput, match="coefficient"):
        allocate(SharingRule.STATIC, REGISTERS, coefficients)


def test_a_premium_needs_the_zonal_price() -> None:
    with pytest.raises(InvalidInput, match="zonal"):
        Sharing(SharingRule.DYNAMIC, premium=SharingPremium()).gain_per_kwh(RETAIL, FEED_IN)
