"""Feeds as every store keeps them: versioned, due in their turn, every attempt remembered."""

from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest
from tests.builders import MONDAY, community, hours

from digital_twin.domain.bidding_zones import bidding_zone
from digital_twin.domain.feeds import CarbonFeed, Feed, FeedKind, PriceFeed, PriceTerms, WeatherFeed
from digital_twin.domain.generation_mix import EmissionBasis
from digital_twin.services.ports import KEPT_ISSUES, FeedIssue, Outcome, Store, StoredFeed

HERE, THERE = "solar_valley", "wind_hill"
FEEDS: tuple[Feed, ...] = (
    WeatherFeed(resolution_minutes=15),
    PriceFeed(bidding_zone("AT"), PriceTerms(1.03, 0.12, 0.2), PriceTerms(0.9), enabled=False),
    CarbonFeed(bidding_zone("10Y1001A1001A82H"), EmissionBasis.LIFE_CYCLE),
)


@pytest.fixture
async def kept(store: Store) -> Store:
    """A store with two communities."""
    async with store.platform() as tx:
        for name in (HERE, THERE):
            await tx.communities.create(community(name))
    return store


async def put(store: Store, feed: Feed, *, due_at: datetime = MONDAY, where: str = HERE) -> StoredFeed:
    async with store.community(where) as tx:
        return await tx.feeds.put(feed, due_at=due_at)


def issue(at: datetime, outcome: Outcome = Outcome.STORED, kind: FeedKind = FeedKind.WEATHER) -> FeedIssue:
    return FeedIssue(kind, "open-meteo", at, outcome, f"told at {at}", at - hours(1), at, at + hours(48))


@pytest.mark.parametrize("feed", FEEDS)
async def test_a_feed_comes_back_as_it_was_put(kept: Store, feed: Feed):
    stored = await put(kept, feed)
    assert stored == StoredFeed(feed, MONDAY, version=1)
    async with kept.community(HERE) as tx:
        assert await tx.feeds.get(feed.kind) == stored
    async with kept.community(THERE) as tx:
        assert await tx.feeds.get(feed.kind) is None


async def test_progress_is_kept_until_the_feed_is_replaced(kept: Store):
    first = await put(kept, FEEDS[0])
    further = replace(
        first,
        failures=2,
        next_fetch_at=MONDAY + hours(1),
        archived_from=date(2025, 1, 1),
        archived_until=date(2026, 2, 1),
    )
    async with kept.community(HERE) as tx:
        assert await tx.feeds.advance(further)
        assert await tx.feeds.get(FeedKind.WEATHER) == further
    again = await put(kept, WeatherFeed(), due_at=MONDAY + hours(2))
    assert again == StoredFeed(WeatherFeed(), MONDAY + hours(2), version=2)
    async with kept.community(HERE) as tx:
        assert not await tx.feeds.advance(further)  # who fetched for the old one comes too late
        assert await tx.feeds.get(FeedKind.WEATHER) == again


async def test_a_feed_is_removed_once_and_its_issues_stay(kept: Store):
    stored = await put(kept, FEEDS[0])
    async with kept.community(HERE) as tx:
        await tx.feeds.add_issue(issue(MONDAY))
        assert await tx.feeds.remove(FeedKind.WEATHER)
        assert not await tx.feeds.remove(FeedKind.WEATHER)
        assert not await tx.feeds.advance(stored)
        assert await tx.feeds.newest_issue(FeedKind.WEATHER) == issue(MONDAY)


async def test_the_newest_issue_is_that_of_its_kind_and_outcome_known_then(kept: Store):
    told = [
        issue(MONDAY),
        issue(MONDAY + hours(1)),
        issue(MONDAY + hours(2), Outcome.UNAVAILABLE),
        issue(MONDAY + hours(3), kind=FeedKind.CARBON),
    ]
    async with kept.community(HERE) as tx:
        for one in told:
            await tx.feeds.add_issue(one)
        assert await tx.feeds.newest_issue(FeedKind.WEATHER) == told[2]
        assert await tx.feeds.newest_issue(FeedKind.WEATHER, outcome=Outcome.STORED) == told[1]
        assert await tx.feeds.newest_issue(FeedKind.WEATHER, as_of=MONDAY + hours(1)) == told[1]
        assert await tx.feeds.newest_issue(FeedKind.WEATHER, as_of=MONDAY + hours(0.9)) == told[0]
        assert await tx.feeds.newest_issue(FeedKind.WEATHER, as_of=MONDAY - hours(1)) is None
        assert await tx.feeds.newest_issue(FeedKind.PRICES) is None
    async with kept.community(THERE) as tx:
        assert await tx.feeds.newest_issue(FeedKind.WEATHER) is None


async def test_two_attempts_of_one_instant_are_told_apart_by_their_order(kept: Store):
    async with kept.community(HERE) as tx:
        await tx.feeds.add_issue(issue(MONDAY, Outcome.REFUSED))
        await tx.feeds.add_issue(issue(MONDAY))
        assert await tx.feeds.newest_issue(FeedKind.WEATHER) == issue(MONDAY)


async def test_issues_are_let_go_after_a_year_and_a_month(kept: Store):
    async with kept.community(HERE) as tx:
        await tx.feeds.add_issue(issue(MONDAY))
        await tx.feeds.add_issue(issue(MONDAY + KEPT_ISSUES + timedelta(seconds=1), kind=FeedKind.CARBON))
        assert await tx.feeds.newest_issue(FeedKind.WEATHER) is not None
        await tx.feeds.add_issue(issue(MONDAY + KEPT_ISSUES + timedelta(seconds=1)))
        assert await tx.feeds.newest_issue(FeedKind.WEATHER, as_of=MONDAY) is None


async def test_those_are_due_that_are_enabled_and_whose_time_has_come(kept: Store):
    await put(kept, FEEDS[2], due_at=MONDAY + hours(1))
    await put(kept, FEEDS[0], due_at=MONDAY)
    await put(kept, FEEDS[0], due_at=MONDAY + hours(2), where=THERE)
    await put(kept, FEEDS[1], due_at=MONDAY)  # not enabled
    async with kept.platform() as tx:
        assert await tx.feeds.due(MONDAY - hours(1)) == []
        assert await tx.feeds.due(MONDAY + hours(1)) == [(HERE, FeedKind.WEATHER), (HERE, FeedKind.CARBON)]
        assert (THERE, FeedKind.WEATHER) in await tx.feeds.due(MONDAY + hours(2))


async def test_the_feed_that_has_waited_longest_is_known_for_each_kind(kept: Store):
    for where, newest in ((HERE, 5), (THERE, 3)):
        await put(kept, FEEDS[0], where=where)
        async with kept.community(where) as tx:
            await tx.feeds.add_issue(issue(MONDAY))
            await tx.feeds.add_issue(issue(MONDAY + hours(newest)))
            await tx.feeds.add_issue(issue(MONDAY + hours(9), Outcome.REFUSED))
    await put(kept, FEEDS[2])  # nothing was ever fetched
    async with kept.platform() as tx:
        assert await tx.feeds.oldest_good() == {FeedKind.WEATHER: MONDAY + hours(3)}


async def test_feeds_go_with_their_community(kept: Store):
    await put(kept, FEEDS[0])
    async with kept.community(HERE) as tx:
        await tx.feeds.add_issue(issue(MONDAY))
        await tx.communities.delete(HERE, expected_version=None)
    async with kept.platform() as tx:
        assert await tx.feeds.due(MONDAY) == []
        await tx.communities.create(community(HERE))
    async with kept.community(HERE) as tx:
        assert await tx.feeds.get(FeedKind.WEATHER) is None
        assert await tx.feeds.newest_issue(FeedKind.WEATHER) is None
