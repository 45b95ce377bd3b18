"""One simulated year: against its slow twin, the laws of energy and what must not matter."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulation_twin import slow_totals, slow_year
from tests.studies import HOMES, base_year, numbers, study

from digital_twin.domain.sharing import Sharing, SharingPremium, SharingRule
from digital_twin.domain.tariff import CapacityCharge
from digital_twin.simulation.base_year import BaseYear, heating_kw_per_degree
from digital_twin.simulation.kernel import Profiles, simulate_year
from digital_twin.simulation.kpis import kpi_values
from digital_twin.simulation.monte_carlo import simulate_runs, site_of, year_of
from digital_twin.simulation.outcomes import TOTALS
from digital_twin.simulation.sampling import draw
from digital_twin.simulation.scenario import Policy

ROUNDING = 1e-9  # sums of 35,000 numbers in another order
ALL_RULES = list(SharingRule)


def profiles_of(base: BaseYear) -> Profiles:
    paths = np.stack([base.import_price_per_kwh, base.export_price_per_kwh, base.emission_factor_kg_per_kwh], axis=1)
    return Profiles(base.load_kw, base.pv_share, paths, base.steps_per_day)


@pytest.mark.parametrize("rule", ALL_RULES)
@pytest.mark.parametrize("minutes", [15, 60])
@pytest.mark.parametrize("premium", [None, SharingPremium(refund_per_mwh=10)])
def test_the_kernel_adds_up_like_its_slow_twin(rule: SharingRule, minutes: int, premium: SharingPremium | None) -> None:
    base = base_year(minutes=minutes)
    sharing = Sharing(rule, 60, 0.12, 0.03, premium)
    setting = numbers(sharing_rule=rule, grid_export_limit_kw=4.0)
    problem = study(setting, base=base, sharing=sharing, days=40)
    drawn, site = draw(5, 2, 40, HOMES), site_of(problem, setting)
    year = year_of(base, setting, drawn, heating_kw_per_degree(base.load_kw, base.heating_degrees), 1.0)
    totals, bills = simulate_year(profiles_of(base), year, site)
    expected, expected_bills = slow_totals(slow_year(profiles_of(base), year, site), site, sharing)
    found: dict[str, float] = dict(zip(TOTALS, totals.tolist(), strict=True))
    assert found.pop("peak_import_kw") * minutes / 60 == pytest.approx(expected.pop("peak_import_kwh"))
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=ROUNDING, abs=ROUNDING)
    assert expected["curtailed_kwh"] > 0
    np.testing.assert_allclose(bills, expected_bills, rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("rule", ALL_RULES)
def test_bills_add_up_to_the_cost_of_all(rule: SharingRule) -> None:
    outcomes = simulate_runs(study(numbers(sharing_rule=rule), sharing=Sharing(rule, 60, 0.1, 0.05)), 0, 3)
    np.testing.assert_allclose(outcomes.bills[0].sum(axis=1), outcomes.of("cost")[0], rtol=ROUNDING)


@settings(max_examples=40, deadline=None)
@given(
    rule=st.sampled_from(ALL_RULES),
    pv=st.floats(0, 60),
    capacity=st.floats(0, 80),
    power=st.floats(0, 30),
    limits=st.tuples(st.floats(0, 30), st.floats(0, 30)),
    efficiencies=st.tuples(st.floats(0.5, 1), st.floats(0.5, 1)),
    run=st.integers(0, 500),
)
def test_energy_is_neither_made_nor_lost_and_limits_hold(
    rule: SharingRule,
    pv: float,
    capacity: float,
    power: float,
    limits: tuple[float, float],
    efficiencies: tuple[float, float],
    run: int,
) -> None:
    setting = numbers(
        sharing_rule=rule,
        total_pv_capacity_kw=pv,
        total_storage_capacity_kwh=capacity,
        max_storage_power_kw=power,
        grid_import_limit_kw=limits[0],
        grid_export_limit_kw=limits[1],
        charge_efficiency=efficiencies[0],
        discharge_efficiency=efficiencies[1],
    )
    outcomes = simulate_runs(study(setting, base=BASE), run, 1)
    year = dict(zip(TOTALS, outcomes.totals[0, 0].tolist(), strict=True))
    in_and_out = year["imported_kwh"] + year["generation_kwh"] - year["curtailed_kwh"] - year["exported_kwh"]
    assert in_and_out == pytest.approx(year["load_kwh"] + year["charged_kwh"] - year["discharged_kwh"], abs=1e-6)
    stored = efficiencies[0] * year["charged_kwh"] - year["discharged_kwh"] / efficiencies[1]
    assert year["final_soc_kwh"] == pytest.approx(stored, abs=1e-6)
    assert -1e-9 <= year["final_soc_kwh"] <= capacity + 1e-9
    assert year["beyond_export_limit_kwh"] <= 1e-9
    assert (year["beyond_import_limit_kwh"] > 1e-9) == (year["peak_import_kw"] > limits[0] + 1e-9)
    assert 0 <= year["curtailed_kwh"] <= year["generation_kwh"] + 1e-9
    assert year["shared_kwh"] <= min(year["imported_kwh"], year["exported_kwh"]) + 1e-9
    shares = kpi_values(outcomes, 0)
    assert -1e-9 <= shares["self_consumption"][0] <= 1 + 1e-9
    # without a fixed share of its own the storage buys what it charges, and may import more than the load
    least = -1.0 if rule is SharingRule.STATIC else 0.0
    assert least - 1e-9 <= shares["self_sufficiency"][0] <= 1 + 1e-9


BASE = base_year()


def test_where_nothing_may_be_curtailed_the_excess_is_told() -> None:
    setting = numbers(grid_export_limit_kw=1.0, total_pv_capacity_kw=40.0)
    free = simulate_runs(study(setting), 0, 1)
    bound = simulate_runs(study(setting, base=base_year(is_curtailable=False)), 0, 1)
    assert bound.of("curtailed_kwh")[0, 0] == 0
    assert bound.of("beyond_export_limit_kwh")[0, 0] == pytest.approx(free.of("curtailed_kwh")[0, 0])


@pytest.mark.parametrize("rule", ALL_RULES)
def test_more_pv_never_means_more_import(rule: SharingRule) -> None:
    some = [numbers(sharing_rule=rule, total_pv_capacity_kw=float(size)) for size in (0, 3, 8, 15, 40)]
    left = simulate_runs(study(*some, days=364), 0, 3).of("left_import_kwh")
    assert (np.diff(left, axis=0) <= 1e-9).all()


def test_an_idle_storage_is_no_storage() -> None:
    idle = numbers(policy=Policy.IDLE)
    none = numbers(total_storage_capacity_kwh=0.0)
    outcomes = simulate_runs(study(idle, none), 0, 2)
    np.testing.assert_array_equal(outcomes.totals[0], outcomes.totals[1])
    assert (outcomes.of("charged_kwh") == 0).all()


def test_twice_the_prosumers_use_twice_the_energy_of_the_same_sun() -> None:
    outcomes = simulate_runs(study(numbers(), numbers(num_prosumers=2.0 * HOMES)), 0, 2)
    np.testing.assert_allclose(outcomes.of("load_kwh")[1], 2 * outcomes.of("load_kwh")[0])
    np.testing.assert_allclose(outcomes.of("generation_kwh")[1], outcomes.of("generation_kwh")[0])


def test_sharing_among_copies_of_homes_is_sharing_among_homes() -> None:
    base = base_year()
    copies = replace(
        base,
        load_kw=np.repeat(base.load_kw, 2, axis=1),
        pv_share=np.repeat(base.pv_share, 2, axis=1) / 2,
        coefficients=np.repeat(base.coefficients, 2) / 2 if base.coefficients is not None else None,
    )
    for rule in ALL_RULES:
        setting = numbers(sharing_rule=rule, num_prosumers=2.0 * HOMES)
        weighted, listed = study(setting, base=base), study(setting, base=copies, num_prosumers=2.0 * HOMES)
        drawn = draw(1, 0, 28, 1)
        found: list[np.ndarray] = []
        for one in (weighted, listed):
            homes = one.base.homes
            same = replace(drawn, home_factors=np.ones(homes))
            year = year_of(one.base, setting, same, np.zeros(homes), site_of(one, setting).homes_per_profile)
            found.append(simulate_year(profiles_of(one.base), year, site_of(one, setting))[0])
        np.testing.assert_allclose(found[0], found[1], rtol=1e-6, atol=1e-9)  # profiles are float32


def test_one_meter_is_worth_what_all_behind_it_are() -> None:
    setting = numbers()
    many, one = study(setting), study(setting, base=base_year().as_one())
    drawn = replace(draw(1, 0, 28, HOMES), home_factors=np.ones(HOMES))
    found = []
    for each in (many, one):
        same = replace(drawn, home_factors=np.ones(each.base.homes))
        year = year_of(each.base, setting, same, np.zeros(each.base.homes), 1.0)
        found.append(simulate_year(profiles_of(each.base), year, site_of(each, setting))[0])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6, atol=1e-6)


def test_the_capacity_charge_counts_each_billing_period_beyond_its_peak_so_far() -> None:
    setting = numbers()
    plain = simulate_runs(study(setting, days=60), 0, 1)
    charged = simulate_runs(study(setting, days=60, capacity_charge=CapacityCharge(10.0, peak_so_far_kw=1e4)), 0, 1)
    none_so_far = simulate_runs(study(setting, days=60, capacity_charge=CapacityCharge(10.0)), 0, 1)
    second = charged.of("cost")[0, 0] - plain.of("cost")[0, 0]
    both = none_so_far.of("cost")[0, 0] - plain.of("cost")[0, 0]
    highest = 10 * plain.of("peak_import_kw")[0, 0]
    assert 0 < second <= highest
    assert highest <= both <= 2 * highest
    assert both == pytest.approx(highest + min(second, both - second))
