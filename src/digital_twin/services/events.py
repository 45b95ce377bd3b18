"""What happens in a community, told live to who may read it."""

from collections.abc import AsyncGenerator

from digital_twin.services.access import Access, Grant, Permission
from digital_twin.services.ports import Event, EventFeed, Store

AT_ONCE = 100
SILENCE_S = 15.0
"""A line without news is kept open by a sign of life so often; the right to it is looked up again then."""

OF_ALL = frozenset({"state"})
"""What a member hears of: the sums that they may read as well."""


class EventService:
    """Use cases around events."""

    def __init__(self, store: Store, access: Access, feed: EventFeed) -> None:
        self._store = store
        self._access = access
        self._feed = feed

    async def position(self, grant: Grant) -> int:
        """The number of the newest event."""
        async with self._store.community(str(grant.community_id)) as tx:
            return await tx.events.latest_id()

    async def follow(self, grant: Grant, after: int) -> AsyncGenerator[Event | None, None]:
        """Events that come after this one, for as long as the caller may read them; None as a sign of life.

        Raises:
            NotFound: the community is gone, or the right to it.
        """
        community_id = str(grant.community_id)
        with self._feed.listen(community_id) as ear:
            while True:
                async with self._store.community(community_id) as tx:
                    news = await tx.events.after(after, limit=AT_ONCE)
                for event in news:
                    after = event.event_id
                    if grant.member_id is None or event.kind in OF_ALL:
                        yield event
                if len(news) < AT_ONCE:
                    await ear.wait(SILENCE_S)
                    grant = await self._access.check(grant.caller, Permission.COMMUNITY_READ, community_id)
                    yield None
