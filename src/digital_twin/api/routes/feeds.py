"""Weather, prices and carbon from outside."""

from typing import Literal

from digital_twin.api.route import GrantDep, TwinDep, requires, twin_router
from digital_twin.api.schemas.feeds import CarbonFeedBody, FeedAnswer, FeedsAnswer, PriceFeedBody, WeatherFeedBody
from digital_twin.domain.feeds import FeedKind
from digital_twin.services.access import Permission

router = twin_router("feeds")

Kind = Literal["weather", "prices", "carbon"]


@router.get("/communities/{community_id}/feeds", **requires(Permission.COMMUNITY_READ))
async def list_feeds(community_id: str, twin: TwinDep, grant: GrantDep) -> FeedsAnswer:
    """The feeds that are set up, each with its last issue, its age and what went wrong since."""
    return FeedsAnswer(feeds=[FeedAnswer.from_status(one) for one in await twin.feeds.all(grant)])


@router.get("/communities/{community_id}/feeds/{feed}", **requires(Permission.COMMUNITY_READ))
async def get_feed(community_id: str, feed: Kind, twin: TwinDep, grant: GrantDep) -> FeedAnswer:
    """One feed."""
    return FeedAnswer.from_status(await twin.feeds.get(grant, FeedKind(feed)))


@router.put("/communities/{community_id}/feeds/weather", **requires(Permission.COMMUNITY_WRITE))
async def put_weather_feed(community_id: str, body: WeatherFeedBody, twin: TwinDep, grant: GrantDep) -> FeedAnswer:
    """Have the weather of the community's place fetched from Open-Meteo, from within a minute on."""
    return FeedAnswer.from_status(await twin.feeds.put(grant, body.to_domain()))


@router.put("/communities/{community_id}/feeds/prices", **requires(Permission.COMMUNITY_WRITE))
async def put_price_feed(community_id: str, body: PriceFeedBody, twin: TwinDep, grant: GrantDep) -> FeedAnswer:
    """Have day-ahead prices of a bidding zone fetched from ENTSO-E, from within a minute on."""
    return FeedAnswer.from_status(await twin.feeds.put(grant, body.to_domain()))


@router.put("/communities/{community_id}/feeds/carbon", **requires(Permission.COMMUNITY_WRITE))
async def put_carbon_feed(community_id: str, body: CarbonFeedBody, twin: TwinDep, grant: GrantDep) -> FeedAnswer:
    """Have the generation of a bidding zone fetched from ENTSO-E, from within a minute on."""
    return FeedAnswer.from_status(await twin.feeds.put(grant, body.to_domain()))


@router.delete("/communities/{community_id}/feeds/{feed}", status_code=204, **requires(Permission.COMMUNITY_WRITE))
async def delete_feed(community_id: str, feed: Kind, twin: TwinDep, grant: GrantDep) -> None:
    """Fetch it no more; what it told stays."""
    await twin.feeds.remove(grant, FeedKind(feed))
