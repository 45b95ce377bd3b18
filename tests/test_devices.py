"""Devices of a plan: worked cases, what they do by themselves, their check, and what a stored kWh is worth."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from tests.builders import MONDAY
from tests.cases import case_1, case_4
from tests.dispatch_by_hand import least_objective
from tests.test_dispatch_instances import STEPS, random_devices, random_problem

from digital_twin.domain.errors import Infeasible, InvalidInput
from digital_twin.domain.sharing import SharingRule
from digital_twin.domain.time import TimeGrid
from digital_twin.optimization import (
    OBJECTIVES,
    Battery,
    Device,
    DeviceUse,
    DispatchProblem,
    ElectricVehicle,
    GridLimits,
    HeatPump,
    MemberExchange,
    Outlook,
    Schedule,
    ShiftableLoad,
    ShiftableRun,
    Stay,
    Storage,
    Weights,
    kept_models,
)
from digital_twin.optimization.baseline import idle, self_consumption_rule
from digital_twin.optimization.blocks import Shape, build
from digital_twin.optimization.check import violations
from digital_twin.optimization.devices import air_source_cop
from digital_twin.optimization.dispatch import plan_dispatch
from digital_twin.optimization.model import Model

COST = OBJECTIVES["minimize_cost"]
NONE = Storage(0, 0, 1, 1, 0, 0)
WIDE = GridLimits(100, 100)


def site(*devices: Device, price: list[float], pv: float = 0.0, storage: Storage = NONE) -> DispatchProblem:
    """Nothing but devices, by the hour."""
    steps = len(price)
    outlook = Outlook(
        TimeGrid(MONDAY, steps, 60),
        np.zeros(steps),
        np.full(steps, pv),
        np.array(price),
        np.full(steps, 0.05),
        np.full(steps, 0.2),
    )
    return DispatchProblem(outlook, storage, WIDE, devices=devices)


def heat_pump(initial: float = 20.0, steps: int = 4, loss: float = 0.2, **changed: object) -> HeatPump:
    plain = HeatPump(
        "warmth", 3, 5, loss, initial, np.full(steps, 3.0), np.zeros(steps), np.zeros(steps),
        np.full(steps, 20.0), np.full(steps, 24.0),
    )  # fmt: skip
    return replace(plain, **changed)  # type: ignore[arg-type]


CAR = ElectricVehicle("car", 40, 10, (Stay(0, 3, 5, 20),), 2.0, 1.0, 1.0)


# Worked cases


def test_a_vehicle_charges_in_the_cheap_hour_and_never_below_its_minimum() -> None:
    """15 kWh: 10 in the cheapest hour and 5 in the next."""
    plan = plan_dispatch(site(CAR, price=[0.3, 0.1, 0.2, 0.01]), COST)
    np.testing.assert_allclose(plan.devices[0].charge_kw, [0, 10, 5, 0], atol=1e-6)
    np.testing.assert_allclose(plan.devices[0].soc_kwh, [5, 15, 20, np.nan], atol=1e-6)
    assert plan.cost == pytest.approx(2.0)
    # 11 kWh would leave 1 kW: the minimum of 2 is filled up from the dear hour's neighbour
    plan = plan_dispatch(site(replace(CAR, stays=(Stay(0, 3, 5, 16),)), price=[0.3, 0.1, 0.2, 0.01]), COST)
    np.testing.assert_allclose(plan.devices[0].charge_kw, [0, 9, 2, 0], atol=1e-6)
    assert plan.solver.startswith("HiGHS MIP")
    assert plan.status == "optimal"


def test_a_vehicle_with_v2g_earns_on_the_way() -> None:
    generous = replace(CAR, vehicle_to_grid=True, stays=(Stay(0, 3, 20, 20),))
    problem = site(generous, price=[0.1, 0.5, 0.2])
    dear = replace(problem, outlook=replace(problem.outlook, load_kw=np.array([0.0, 8, 0])))
    plan = plan_dispatch(dear, COST)
    np.testing.assert_allclose(plan.devices[0].charge_kw - plan.devices[0].discharge_kw, [8, -8, 0], atol=1e-6)
    alone = plan_dispatch(replace(dear, devices=(replace(generous, vehicle_to_grid=False),)), COST)
    assert alone.cost - plan.cost == pytest.approx(8 * (0.5 - 0.1))


def test_a_second_stay_begins_with_what_it_arrives_with() -> None:
    twice = replace(CAR, stays=(Stay(0, 1, 5, 5), Stay(2, 4, 10, 12)))
    plan = plan_dispatch(site(twice, price=[0.1, 0.1, 0.4, 0.3]), COST)
    np.testing.assert_allclose(plan.devices[0].charge_kw, [0, 0, 0, 2], atol=1e-6)
    np.testing.assert_allclose(plan.devices[0].soc_kwh, [5, np.nan, 10, 12], atol=1e-6)


def test_a_house_without_losses_is_heated_when_it_is_cheap() -> None:
    """From 18 to 20 C takes 10 kWh of heat, 9 of them in the first hour; afterwards nothing is lost."""
    plan = plan_dispatch(site(heat_pump(initial=18, loss=0.0), price=[0.4, 0.1, 0.2, 0.3]), COST)
    np.testing.assert_allclose(plan.devices[0].charge_kw, [3, 1 / 3, 0, 0], atol=1e-6)
    np.testing.assert_allclose(plan.devices[0].temperature_c, [19.8, 20, 20, 20], atol=1e-6)
    assert plan.discomfort_c_hours == pytest.approx(0.2)
    assert plan.cost == pytest.approx(3 * 0.4 + 0.1 / 3)
    assert plan.objective_value == pytest.approx(plan.cost + 10 * 0.2)


def test_other_weather_needs_no_other_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The COP is in the matrix; mild and frosty days are planned by turns on what was canonicalised once."""
    built: list[Shape] = []

    def counted(shape: Shape) -> Model:
        built.append(shape)
        return build(shape)

    monkeypatch.setattr(kept_models, "build", counted)
    for day in range(6):
        generator = np.random.default_rng(day)
        outdoor = generator.uniform(-15, 15, STEPS)
        pumps = [
            heat_pump(
                initial=19.7, steps=STEPS, loss=0.123, device_id=name, outdoor_c=outdoor,
                cop=np.where(generator.random(STEPS) < 0.1, 0.0, air_source_cop(nominal, outdoor)),
            )
            for name, nominal in (("upstairs", 4.0), ("downstairs", 2.5))
        ]  # fmt: skip
        problem = site(*pumps, price=generator.uniform(0.1, 0.4, STEPS).tolist())
        plan = plan_dispatch(problem, COST)
        assert plan.objective_value == pytest.approx(least_objective(problem, COST), rel=1e-6)
        assert plan.gap == 0.0
    assert len(built) == 1


@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_a_cold_start_is_never_infeasible(objective: str) -> None:
    plan = plan_dispatch(site(heat_pump(initial=-10), price=[0.2] * 4), OBJECTIVES[objective])
    np.testing.assert_allclose(plan.devices[0].charge_kw, 3, atol=1e-6)


@given(st.floats(0, 1), st.floats(1, 20), st.floats(-20, 25), st.floats(0, 4))
@settings(max_examples=30, deadline=None)
def test_the_temperature_is_that_of_the_differential_equation(
    loss: float, mass: float, out: float, power: float
) -> None:
    pump = heat_pump(loss=loss, heat_capacity_kwh_per_c=mass, outdoor_c=np.full(4, out), power_kw=power)
    pump = replace(pump, comfort_min_c=np.full(4, 99.0), comfort_max_c=np.full(4, 99.0))
    use = plan_dispatch(site(pump, price=[0.2] * 4), COST).devices[0]

    def slope(at: float, temperature: np.ndarray) -> np.ndarray:
        return (3.0 * use.charge_kw[min(int(at), 3)] - loss * (temperature - out)) / mass

    expected = solve_ivp(slope, (0, 4), [20.0], rtol=1e-9, atol=1e-9, t_eval=[1, 2, 3, 4], max_step=0.05).y[0]
    np.testing.assert_allclose(use.temperature_c, expected, atol=1e-5)


def test_blocks_are_whole_and_runs_are_in_one_piece() -> None:
    blocks, run = ShiftableLoad("pump", 4, 2, 0, 5, 2), ShiftableRun("washer", (1.0, 3.0), 1, 5)
    plan = plan_dispatch(site(blocks, run, price=[0.3, 0.2, 0.1, 0.25, 0.4]), COST)
    np.testing.assert_allclose(plan.devices[0].charge_kw, [0, 2, 2, 0, 0], atol=1e-6)
    np.testing.assert_allclose(plan.devices[1].charge_kw, [0, 1, 3, 0, 0], atol=1e-6)


def test_a_run_that_would_be_halved_for_the_peak_stays_whole() -> None:
    problem = site(ShiftableRun("washer", (2.0,), 0, 2), price=[0.2, 0.2])
    plan = plan_dispatch(problem, OBJECTIVES["minimize_peak"])
    assert plan.peak_kw == pytest.approx(2)
    assert plan.solver.startswith("HiGHS MIP")


def test_ties_between_starts_go_to_the_cheapest() -> None:
    problem = site(ShiftableRun("washer", (2.0,), 0, 3), price=[0.3, 0.1, 0.2])
    plan = plan_dispatch(problem, OBJECTIVES["minimize_peak"])
    np.testing.assert_allclose(plan.devices[0].charge_kw, [0, 2, 0], atol=1e-6)


def test_two_batteries_are_planned_as_what_they_are() -> None:
    """The better one works first: a kWh through it costs 0.1 / 0.9, through the other 0.1 / 0.5."""
    good, poor = (Storage(10, 10, 1.0, eta, 0, 0) for eta in (0.9, 0.5))
    problem = site(Battery("good", good), Battery("poor", poor), price=[0.1, 0.3])
    problem = replace(problem, outlook=replace(problem.outlook, load_kw=np.array([0.0, 12.0])))
    plan = plan_dispatch(problem, COST)
    np.testing.assert_allclose(plan.devices[0].charge_kw, [10, 0], atol=1e-6)
    np.testing.assert_allclose(plan.devices[1].charge_kw, [6, 0], atol=1e-6)
    assert plan.cost == pytest.approx(1.6)


def test_a_battery_as_a_device_is_the_storage_by_another_name() -> None:
    problem = case_1()
    apart = replace(problem, storage=NONE, devices=(Battery("all", problem.storage),))
    plan = plan_dispatch(apart, COST)
    assert plan.cost == pytest.approx(18.36)
    np.testing.assert_allclose(plan.devices[0].soc_kwh, [38, 56, 31, 20], atol=1e-6)
    assert self_consumption_rule(apart).cost == pytest.approx(self_consumption_rule(problem).cost)
    assert idle(apart).cost == pytest.approx(24.75)


def test_a_reserve_below_which_a_battery_begins_is_reached_and_kept() -> None:
    low = Storage(10, 2, 1.0, 1.0, 1.0, 0.0, reserve_kwh=5.0)
    plan = plan_dispatch(site(price=[0.2] * 5, storage=low), COST)
    np.testing.assert_allclose(plan.soc_kwh, [3, 5, 5, 5, 5], atol=1e-6)


def test_a_limit_with_a_price_is_passed_as_far_as_that_pays() -> None:
    problem = site(ShiftableLoad("pump", 8, 8, 0, 2), price=[0.1, 0.3])
    for price, expected in ((0.1, [8, 0]), (0.5, [5, 3])):
        plan = plan_dispatch(replace(problem, limits=GridLimits(5, 5, price)), COST)
        np.testing.assert_allclose(plan.devices[0].charge_kw, expected, atol=1e-6)
        assert plan.beyond_limits_kwh == pytest.approx(max(0, expected[0] - 5))
        assert plan.cost == pytest.approx(np.dot(expected, [0.1, 0.3]) + price * plan.beyond_limits_kwh)


def test_devices_share_under_a_sharing_rule_as_the_storage_does() -> None:
    exchange = MemberExchange(np.array([[1.0, 1.0]]), np.array([[0.0, 4.0]]), np.full(2, 0.14), SharingRule.DYNAMIC, 60)
    outlook = Outlook(
        TimeGrid(MONDAY, 2, 60), np.ones(2), np.array([0.0, 4.0]), np.full(2, 0.3), np.full(2, 0.06), np.full(2, 0.2)
    )
    problem = DispatchProblem(
        outlook, NONE, WIDE, exchange=exchange, curtailable=False, devices=(ShiftableLoad("pump", 3, 3, 0, 2),)
    )
    plan = plan_dispatch(problem, COST)
    # in the second hour its import is shared with what the member feeds in
    np.testing.assert_allclose(plan.devices[0].charge_kw, [0, 3], atol=1e-6)
    assert plan.shared_kwh is not None
    assert plan.shared_kwh.sum() == pytest.approx(4)
    assert plan.objective_value == pytest.approx(plan.cost)
    assert plan.gap == 0


# What is left at the end


def test_energy_at_the_end_is_kept_as_far_as_it_is_worth_it() -> None:
    full = Storage(10, 10, 1.0, 1.0, 10.0, 0.0, end_value_per_kwh=0.25)
    problem = site(price=[0.2, 0.3], storage=full)
    loaded = replace(problem, outlook=replace(problem.outlook, load_kw=np.full(2, 4.0)))
    plan = plan_dispatch(loaded, COST)
    np.testing.assert_allclose(plan.discharge_kw, [0, 4], atol=1e-6)
    assert plan.cost == pytest.approx(4 * 0.2 - 6 * 0.25)


@pytest.mark.parametrize("step", [0, 20, 50, 75])
def test_the_water_value_is_what_one_more_kwh_saves(step: int) -> None:
    """From the next interval on; where the curve has a corner, it lies between the slopes on both sides."""
    problem, small = case_4(96), 1e-3
    plan = plan_dispatch(problem, COST)
    assert plan.water_value_per_kwh is not None
    less, as_it_is, more = (
        plan_dispatch(_rest_of(problem, step + 1, float(plan.soc_kwh[step]) + by), COST).cost
        for by in (-small, 0.0, small)
    )
    assert (as_it_is - more) / small - 1e-5 <= plan.water_value_per_kwh[step] <= (less - as_it_is) / small + 1e-5


def _rest_of(problem: DispatchProblem, first: int, stored_kwh: float) -> DispatchProblem:
    view = problem.outlook
    names = ("load_kw", "pv_kw", "import_price_per_kwh", "export_price_per_kwh", "emission_factor_kg_per_kwh")
    rest = Outlook(
        TimeGrid(view.grid.instant(first), view.grid.steps - first, view.grid.step_minutes),
        *(getattr(view, name)[first:] for name in names),
    )
    return replace(problem, outlook=rest, storage=replace(problem.storage, initial_kwh=stored_kwh))


def test_a_day_that_knows_the_water_value_does_what_two_days_would() -> None:
    """The end value from two days makes one day end where the two have it at the seam."""
    two = case_4(96)
    view = two.outlook
    doubled = Outlook(
        TimeGrid(MONDAY, 192, 15),
        np.tile(view.load_kw, 2),
        np.tile(view.pv_kw, 2),
        np.concatenate([view.import_price_per_kwh, view.import_price_per_kwh + 0.1]),
        np.tile(view.export_price_per_kwh, 2),
        np.tile(view.emission_factor_kg_per_kwh, 2),
    )
    both = plan_dispatch(replace(two, outlook=doubled), COST)
    assert both.water_value_per_kwh is not None
    value = float(both.water_value_per_kwh[95])
    alone = replace(two.storage, final_min_kwh=0.0, end_value_per_kwh=value)
    day = plan_dispatch(replace(two, storage=alone), COST)
    # the storage's value is the same to first order: no kWh more or less at the seam would help
    bought = both.import_kw[:96] @ view.import_price_per_kwh - both.export_kw[:96] @ view.export_price_per_kwh
    as_in_both = 0.25 * bought - value * both.soc_kwh[95]
    assert day.cost == pytest.approx(as_in_both, abs=1e-4)


# Without a plan


def test_devices_that_nobody_plans_are_served_at_once() -> None:
    problem = site(
        CAR,
        heat_pump(loss=0.1),
        ShiftableLoad("pump", 5, 2, 1, 4, 1.5),
        ShiftableRun("washer", (1.0, 2.0), 1, 4),
        price=[0.1, 0.2, 0.3, 0.4],
    )
    plain = idle(problem)
    car, warmth, pump, washer = plain.devices
    np.testing.assert_allclose(car.charge_kw, [10, 5, 0, 0])
    np.testing.assert_allclose(warmth.temperature_c, 20.0)
    np.testing.assert_allclose(pump.charge_kw, [0, 2, 1.5, 1.5])
    np.testing.assert_allclose(washer.charge_kw, [0, 1, 2, 0])
    assert violations(problem, plain) == []
    assert plan_dispatch(problem, COST).cost <= plain.cost + 1e-6


@pytest.mark.parametrize("seed", range(40))
def test_what_happens_without_a_plan_passes_the_check_or_is_refused(seed: int) -> None:
    problem = random_problem(np.random.default_rng(seed))
    for rule in (idle, self_consumption_rule):
        try:
            plain = rule(problem)
        except Infeasible:
            continue
        assert violations(problem, plain) == []
        assert plan_dispatch(problem, COST).objective_value <= priced(problem, plain) + 1e-6


def priced(problem: DispatchProblem, plain: Schedule) -> float:
    pumps = [one for one in problem.devices if isinstance(one, HeatPump)]
    return plain.cost + sum(one.discomfort_per_c_hour for one in pumps) * plain.discomfort_c_hours


# The check, refusals and explanations


def everything() -> DispatchProblem:
    return site(
        Battery("attic", Storage(10, 5, 0.9, 0.9, 5, 5, reserve_kwh=2)),
        CAR,
        heat_pump(),
        ShiftableLoad("pump", 4, 2, 0, 3, 2),
        ShiftableRun("washer", (1.0, 2.0), 1, 4),
        price=[0.3, 0.1, 0.2, 0.4],
    )


BUMP = np.array([0.0, 0.0, 0.0, 1.0])


@pytest.mark.parametrize(
    ("index", "fault", "tamper"),
    [
        (0, "the state of charge of attic", lambda use: replace(use, soc_kwh=use.soc_kwh + BUMP)),
        (0, "the capacity or the reserve of attic", lambda use: replace(use, soc_kwh=use.soc_kwh - 4)),
        (0, "the final energy of attic", lambda use: replace(use, soc_kwh=use.soc_kwh - BUMP)),
        (0, "the power of attic", lambda use: replace(use, charge_kw=use.charge_kw + 6)),
        (0, "charging while discharging of attic", lambda use: replace(use, charge_kw=1 + 0 * BUMP, discharge_kw=BUMP)),
        (0, "the state of charge of attic", lambda use: replace(use, soc_kwh=None)),
        (1, "the departure energy of car", lambda use: replace(use, charge_kw=0 * BUMP)),
        (1, "power while away of car", lambda use: replace(use, charge_kw=use.charge_kw + 3 * BUMP)),
        (1, "the minimum power of car", lambda use: replace(use, charge_kw=use.charge_kw + BUMP)),
        (1, "the power of car", lambda use: replace(use, charge_kw=use.charge_kw + 11)),
        (1, "the capacity of car", lambda use: replace(use, charge_kw=use.charge_kw + 20)),
        (1, "giving back of car", lambda use: replace(use, discharge_kw=3 + 0 * BUMP, charge_kw=0 * BUMP)),
        (1, "the state of charge of car", lambda use: replace(use, soc_kwh=use.soc_kwh + 1)),
        (2, "the temperature of warmth", lambda use: replace(use, temperature_c=use.temperature_c + BUMP)),
        (2, "the power of warmth", lambda use: replace(use, charge_kw=use.charge_kw + 4)),
        (2, "giving back of warmth", lambda use: replace(use, discharge_kw=BUMP)),
        (3, "the energy of pump", lambda use: replace(use, charge_kw=use.charge_kw / 2)),
        (3, "the window of pump", lambda use: replace(use, charge_kw=use.charge_kw + 2 * BUMP)),
        (3, "the power of pump", lambda use: replace(use, charge_kw=use.charge_kw * 2)),
        (3, "the minimum power of pump", lambda use: replace(use, charge_kw=use.charge_kw / 2)),
        (4, "the profile of washer", lambda use: replace(use, charge_kw=use.charge_kw[::-1])),
        (4, "power below 0 of washer", lambda use: replace(use, charge_kw=use.charge_kw - 1)),
        (4, "the devices", lambda use: replace(use, device_id="drier")),
    ],
)  # fmt: skip
def test_the_check_finds_every_tampering_with_a_device(index: int, fault: str, tamper: object) -> None:
    problem = everything()
    plan = plan_dispatch(problem, COST)
    assert violations(problem, plan) == []
    uses: list[DeviceUse] = list(plan.devices)
    uses[index] = tamper(uses[index])  # type: ignore[operator]
    assert fault in violations(problem, replace(plan, devices=tuple(uses)))


def test_what_is_asked_of_a_device_in_vain_is_named() -> None:
    late = replace(CAR, stays=(Stay(0, 1, 5, 20),))
    with pytest.raises(Infeasible, match=r"5 kWh less of devices\.car\.departure_soc_min_kwh \(20 -> 15\)"):
        plan_dispatch(site(late, price=[0.1, 0.1]), COST)
    with pytest.raises(Infeasible, match=r"1 kW more of devices\.pump\.power_kw \(2 -> 3\)"):
        plan_dispatch(site(ShiftableLoad("pump", 6, 2, 0, 2), price=[0.1, 0.1]), COST)
    with pytest.raises(Infeasible, match="minimum powers"):
        plan_dispatch(site(ShiftableLoad("pump", 5, 4, 0, 2, 3), price=[0.1, 0.1]), COST)


@pytest.mark.parametrize(
    "make",
    [
        lambda: site(CAR, CAR, price=[0.1] * 4),
        lambda: site(CAR, price=[0.1] * 2),
        lambda: site(heat_pump(steps=3), price=[0.1] * 4),
        lambda: site(ShiftableLoad("pump", 3, 2, 0, 4, 2), price=[0.1] * 4),
        lambda: site(ShiftableRun("washer", (1.0,), 3, 5), price=[0.1] * 4),
        lambda: ShiftableRun("washer", (1.0, 1.0), 3, 4),
        lambda: ShiftableRun("washer", (), 0, 4),
        lambda: ShiftableLoad("pump", 3, 2, 0, 4, 3),
        lambda: replace(CAR, stays=(Stay(0, 2, 5, 5), Stay(2, 4, 5, 5))),
        lambda: replace(CAR, stays=(Stay(0, 2, 50, 5),)),
        lambda: replace(CAR, minimum_power_kw=11.0),
        lambda: replace(CAR, device_id="a car"),
        lambda: heat_pump(heat_capacity_kwh_per_c=0.0),
        lambda: heat_pump(comfort_min_c=np.full(4, 25.0)),
        lambda: heat_pump(outdoor_c=np.array([0.0, np.nan, 0, 0])),
        lambda: heat_pump(initial=400.0),
        lambda: Storage(10, 5, 1, 1, 5, 5, reserve_kwh=11),
        lambda: Storage(10, 5, 1, 1, 5, 5, end_value_per_kwh=np.inf),
        lambda: GridLimits(1, 1, -0.1),
    ],
)
def test_a_device_that_makes_no_sense_cannot_be_asked_for(make: object) -> None:
    with pytest.raises(InvalidInput):
        make()  # type: ignore[operator]


def test_a_heat_pump_is_better_when_it_is_mild() -> None:
    cop = air_source_cop(3.0, np.array([-40.0, -7, 2, 15, 30]))
    assert cop[2] == pytest.approx(3.0)
    assert (np.diff(cop) >= 0).all()
    assert cop.min() >= 1.0


# When the time is over


def test_a_plan_with_binaries_that_runs_out_of_time_is_no_better_than_it_says() -> None:
    """Twenty vehicles with a large minimum and a peak to keep down: no search ends in a second."""
    generator = np.random.default_rng(3)
    cars = tuple(
        ElectricVehicle(f"car_{number}", 60, 11, (Stay(0, 24, 10, float(generator.uniform(14, 40))),), 7.0)
        for number in range(20)
    )
    problem = replace(site(*cars, price=generator.uniform(0.1, 0.4, 24).tolist()), limits=GridLimits(300, 300))
    plan = plan_dispatch(problem, Weights(cost=1.0, peak=1.0), time_limit_s=1.0)
    assert violations(problem, plan) == []
    assert plan.gap > 0
    longer = plan_dispatch(problem, Weights(cost=1.0, peak=1.0), time_limit_s=6.0)
    # what the first proved, the second cannot beat
    assert plan.objective_value / (1 + plan.gap) <= longer.objective_value + 1e-6


@pytest.mark.parametrize("seed", range(20))
def test_devices_never_make_a_plan_worse_than_their_own_ways(seed: int) -> None:
    generator = np.random.default_rng(seed)
    problem = replace(random_problem(generator), limits=GridLimits(60, 60))
    problem = replace(problem, devices=random_devices(generator, problem.outlook))
    try:
        plain = idle(problem)
    except Infeasible:
        return
    assert plan_dispatch(problem, COST).objective_value <= priced(problem, plain) + 1e-6
