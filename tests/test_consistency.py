"""Whether the twin is as sure as it should be: judged by truth that came later, told once, and mended."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import series
from tests.test_states import GRANT, ID, START, World, daily

from digital_twin.macro_twin.consistency import SURE, StreamRecord, judged, late_errors, with_truth
from digital_twin.services.consistency import REST, Consistency, untold, with_alert
from digital_twin.telemetry import REGISTRY

WEEK = 7 * 24.0


@pytest.fixture
def world() -> World:
    return World()


# The record of one stream


def test_late_errors_are_those_of_estimates_that_were_not_the_truth_already() -> None:
    mean, deviation = np.array([[10.0], [10.0], [10.0], [10.0]]), np.array([[2.0], [1e-4], [2.0], [np.nan]])
    truth = np.array([[14.0], [10.0], [np.nan], [11.0]])
    np.testing.assert_equal(
        late_errors(mean, deviation, truth, np.array([1e-3])), [[4.0], [np.nan], [np.nan], [np.nan]]
    )


@given(st.lists(st.floats(0, 20), min_size=1, max_size=300))
def test_the_record_is_the_plain_mean_until_a_week_is_full(errors: list[float]) -> None:
    found = with_truth(StreamRecord(), np.array([*errors, np.nan]), week_steps=1000.0)
    assert found.late_nis == pytest.approx(np.mean(errors))
    assert found.covered == pytest.approx(np.mean(np.array(errors) <= SURE**2))
    assert found.late_count == len(errors)


def test_after_a_week_what_is_older_fades() -> None:
    record = with_truth(StreamRecord(), np.full(168, 9.0), WEEK)
    record = with_truth(record, np.full(600, 1.0), WEEK)
    assert record.late_count == WEEK
    assert record.late_nis == pytest.approx(1 + 8 * (1 - 1 / WEEK) ** 600)
    assert record.covered > 0.95


def test_one_wrong_reading_is_not_all_that_the_record_tells() -> None:
    record = with_truth(StreamRecord(), np.append(np.ones(167), 1e12), WEEK)
    assert record.late_nis < 1.2


@pytest.mark.parametrize("true_deviation", [0.7, 2.0, 4.0])
def test_late_truth_widens_what_is_told_until_one_interval_in_twenty_is_missed(true_deviation: float) -> None:
    random, record, missed = np.random.default_rng(7), StreamRecord(), []
    for _ in range(60):
        errors = (true_deviation / record.widening * random.standard_normal(96)) ** 2
        missed.append(np.mean(errors > SURE**2))
        record = with_truth(record, errors, week_steps=7 * 96.0)
    assert record.widening == pytest.approx(true_deviation, rel=0.25)
    assert np.mean(missed[20:]) == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize(
    ("nis", "covered", "is_lost"),
    [
        (1.0, 0.95, False),
        (2.1, 0.95, True),
        (0.4, 0.95, True),
        (1.0, 0.89, True),
        (1.0, 0.995, True),
        (1.9, 0.91, False),
    ],
)
def test_a_stream_is_lost_outside_of_either_bounds(nis: float, covered: float, is_lost: bool) -> None:
    record = StreamRecord(nis=nis, nis_count=WEEK, covered=covered, late_count=WEEK)
    assert judged(record, WEEK).is_lost is is_lost


def test_without_a_weeks_evidence_nothing_is_lost_and_what_was_is_found_only_well_inside() -> None:
    assert not judged(StreamRecord(nis=9.0, nis_count=WEEK - 1, covered=0.1, late_count=WEEK - 1), WEEK).is_lost
    lost = StreamRecord(nis=1.9, nis_count=WEEK, is_lost=True)
    assert judged(lost, WEEK).is_lost
    assert not judged(replace(lost, nis=1.6), WEEK).is_lost


# What a community is told


def test_an_alert_is_told_once_and_again_only_when_a_stream_is_lost_anew_on_another_day() -> None:
    lost = Consistency({"load_kw": StreamRecord(is_lost=True), "pv_kw": StreamRecord()})
    assert untold(lost, START) == ["load_kw"]
    told = with_alert(lost, START)
    assert told.is_to_recalibrate
    assert untold(told, START + REST) == []
    both = replace(told, streams={name: StreamRecord(is_lost=True) for name in ("load_kw", "pv_kw")})
    assert untold(both, START + REST / 2) == [], "not so soon again"
    assert untold(both, START + REST) == ["pv_kw"]


def test_what_is_known_comes_back_as_it_was_kept() -> None:
    known = with_alert(Consistency({"load_kw": StreamRecord(1.2, 30, 1.1, 0.94, 20, is_lost=True)}, START), START)
    assert Consistency.from_document(known.to_document()) == known
    assert Consistency.from_document({}) == Consistency()


# In a community


async def consistency(world: World) -> Any:
    return (await world.service.state(GRANT))["consistency"]


async def alerts(world: World) -> list[dict[str, Any]]:
    async with world.store.community(ID) as tx:
        return [event.document for event in await tx.events.after(0, limit=1000) if event.kind == "alert"]


async def live_then_late(world: World, day: datetime, told: list[list[float]], live: int) -> None:
    """A day on which so many homes tell each hour, and the others when it is over."""
    first = round((day - START) / timedelta(hours=1))
    for names, at in ((range(live), day), (range(live, len(told)), day)):
        columns = [told[one][first : first + 24] for one in names]
        await world.record(
            *(
                series("load_kw", values, member=f"h{one}", start=at, minutes=60)
                for one, values in zip(names, columns, strict=True)
            )
        )
        await world.service.advance(ID)


async def learned(world: World, days: int, told: list[list[float]]) -> None:
    await world.open(homes=len(told), num_prosumers=len(told))
    await world.record(
        *(series("load_kw", one[: 24 * days], member=f"h{i}", start=START, minutes=60) for i, one in enumerate(told))
    )
    world.clock.advance(days=days)
    await world.service.advance(ID)


def lively(count: int, days: int, *, seed: int = 3) -> list[list[float]]:
    """Homes with chances of their own."""
    random = np.random.default_rng(seed)
    whole = np.array([daily(24 * days, mean=0.5 + 0.1 * one) for one in range(count)])
    return (whole * random.lognormal(-0.08, 0.4, whole.shape)).tolist()


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"digital_twin_{name}_total", labels) or 0.0


async def test_truth_that_comes_a_day_late_tells_how_honest_the_errors_were(world: World) -> None:
    before = counted("late_truth", stream="load_kw", outcome="inside")
    before_outside = counted("late_truth", stream="load_kw", outcome="outside")
    told = lively(12, 26)
    await learned(world, 21, told)
    assert (await consistency(world))["streams"]["load_kw"]["late_truth_intervals"] == 0
    for day in range(21, 26):
        world.clock.advance(days=1)
        await live_then_late(world, START + timedelta(days=day), told, live=4)
    found = (await consistency(world))["streams"]["load_kw"]
    assert found["late_truth_intervals"] == 5 * 24
    assert 0.3 < found["late_truth_coverage"] <= 1
    assert found["late_truth_nis"] > 0.3
    inside = counted("late_truth", stream="load_kw", outcome="inside") - before
    assert inside == round(found["late_truth_coverage"] * 5 * 24)
    assert counted("late_truth", stream="load_kw", outcome="outside") - before_outside == 5 * 24 - inside


async def test_a_history_that_is_filled_in_later_says_nothing_of_what_was_told(world: World) -> None:
    told, days = lively(12, 21), timedelta(days=21)
    await world.open(homes=12, num_prosumers=12)
    world.clock.advance(days=21)
    for first in range(12):  # the last two days of all at first, then the others home by home
        await world.record(
            series("load_kw", told[first][-48:], member=f"h{first}", start=START + days / 21 * 19, minutes=60)
        )
    await world.service.advance(ID)
    for first in range(12):
        await world.record(series("load_kw", told[first][:-48], member=f"h{first}", start=START, minutes=60))
        await world.service.advance(ID)
    found = (await consistency(world))["streams"].get("load_kw")
    assert found is None or found["late_truth_intervals"] == 0
    async with world.store.community(ID) as tx:
        track = await tx.states.track(START, START + days)
    assert track is not None
    np.testing.assert_allclose(track.told_after_h, (days / timedelta(hours=1)) - np.arange(1, 24 * 21 + 1))


async def test_homes_that_are_added_one_by_one_do_not_correct_the_estimates_from_fewer(world: World) -> None:
    told = lively(12, 21)
    await world.open(homes=12, num_prosumers=12)
    world.clock.advance(days=21)
    for home, values in enumerate(told):
        await world.record(series("load_kw", values, member=f"h{home}", start=START, minutes=60))
        await world.service.advance(ID)
    found = (await consistency(world))["streams"]["load_kw"]
    assert (found["widening"], found["late_truth_intervals"]) == (1.0, 0)


async def test_when_an_interval_was_first_told_stays_when_it_is_told_anew(world: World) -> None:
    told = lively(3, 21)
    await learned(world, 20, told)
    world.clock.advance(hours=25)
    await live_then_late(world, START + timedelta(days=20), told, live=2)
    world.clock.advance(hours=30)
    await world.record(series("load_kw", told[2][-24:], member="h2", start=START + timedelta(days=20), minutes=60))
    await world.service.advance(ID)
    async with world.store.community(ID) as tx:
        track = await tx.states.track(START + timedelta(days=20), START + timedelta(days=21))
    assert track is not None
    np.testing.assert_allclose(track.told_after_h, 25 - np.arange(1, 25))


async def test_truth_that_was_known_at_once_is_not_late(world: World) -> None:
    await world.open()
    values = daily(24 * 12)
    await world.record(series("load_kw", values[: 24 * 10], start=START, minutes=60))
    world.clock.advance(days=12)
    await world.service.advance(ID)
    await world.record(series("load_kw", values[24 * 10 :], start=START + timedelta(days=10), minutes=60))
    await world.service.advance(ID)
    await world.record(series("load_kw", [55.0], start=START + timedelta(days=11), minutes=60))
    assert (await consistency(world))["streams"]["load_kw"]["late_truth_intervals"] == 0


async def test_a_twin_that_is_too_sure_says_so_once_and_learns_anew(world: World) -> None:
    """After three weeks the silent homes live by other hours, which no estimate from the others can know."""
    before = counted("state_alerts", stream="load_kw")
    told, days = lively(12, 33), 33
    random = np.random.default_rng(5)
    for home in told[4:]:
        for day in range(21, days):
            factor = random.choice([0.2, 3.0])
            home[24 * day : 24 * (day + 1)] = [value * factor for value in home[24 * day : 24 * (day + 1)]]
    await learned(world, 21, told)
    assert not (await consistency(world))["is_lost"]
    calibrated: list[datetime] = []
    for day in range(21, days):
        world.clock.advance(days=1)
        await live_then_late(world, START + timedelta(days=day), told, live=4)
        calibrated.append((await world.snapshot()).calibrated_until)
    found = await alerts(world)
    assert [one["about"] for one in found] == ["consistency"]
    assert found[0]["streams"] == ["load_kw"]
    assert counted("state_alerts", stream="load_kw") - before == 1
    told_at = datetime.fromisoformat(found[0]["observed_at"])
    later = [at for at in calibrated if at > told_at]
    assert later, "a model was learned after the alert"
    assert later[0] - told_at <= timedelta(days=1), "and with the next readings, not when its week was over"
