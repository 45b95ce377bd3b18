"""Topic mappings: which topics a community reads, tried before they are kept, and what could not be read of them."""

from datetime import datetime

from digital_twin.domain.errors import Conflict, InvalidInput, NotAllowed
from digital_twin.domain.topics import OWN_TOPICS, TopicMapping
from digital_twin.services.access import Grant, Role
from digital_twin.services.ingest import Piece, Sifted, sift
from digital_twin.services.payloads import PayloadReader
from digital_twin.services.ports import Clock, DeadLetter, Message, Store, StoredMapping, UnreadableMapping
from digital_twin.services.topic_routes import fits, ready

MAX_MAPPINGS = 200


class TopicService:
    """Use cases around topic mappings and dead letters."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def create(self, grant: Grant, mapping: TopicMapping) -> StoredMapping:
        """The new mapping, which holds at once.

        Raises:
            Conflict: the id is taken.
            InvalidInput: a path is none, or there are too many mappings.
            NotAllowed: the topic is not the community's own.
        """
        PayloadReader(mapping)
        _check_topic(grant, mapping)
        async with self._store.community(str(grant.community_id)) as tx:
            if len(await tx.topic_mappings.all()) >= MAX_MAPPINGS:
                raise InvalidInput(f"a community may have {MAX_MAPPINGS} topic mappings; delete one first")
            return await tx.topic_mappings.add(mapping)

    async def get(self, grant: Grant, mapping_id: str) -> StoredMapping:
        """Raises NotFound."""
        async with self._store.community(str(grant.community_id)) as tx:
            return await tx.topic_mappings.get(mapping_id)

    async def all(self, grant: Grant) -> tuple[list[TopicMapping], list[UnreadableMapping]]:
        """Those that are read, and those that are stored but cannot be."""
        async with self._store.community(str(grant.community_id)) as tx:
            kept = [ready(one.mapping) for one in await tx.topic_mappings.all()]
        read = [one.mapping for one in kept if not isinstance(one, UnreadableMapping)]
        return read, [one for one in kept if isinstance(one, UnreadableMapping)]

    async def replace(
        self, grant: Grant, mapping_id: str, mapping: TopicMapping, *, expected_version: int | None
    ) -> StoredMapping:
        """The mapping as it is now, which holds at once; a topic that an administrator chose may stay.

        Raises:
            Conflict: someone else changed it since `expected_version`.
            InvalidInput: another id than the mapping's own, or a path is none.
            NotAllowed: the topic is a new one and not the community's own.
            NotFound: there is none of this id.
        """
        PayloadReader(mapping)
        if mapping.mapping_id != mapping_id:
            raise InvalidInput("mapping_id cannot change; delete the mapping and create another", field="mapping_id")
        async with self._store.community(str(grant.community_id)) as tx:
            current = await tx.topic_mappings.get(mapping_id)
            if isinstance(current.mapping, UnreadableMapping) or mapping.topic != current.mapping.topic:
                _check_topic(grant, mapping)
            version = current.version if expected_version is None else expected_version
            return await tx.topic_mappings.replace(mapping, expected_version=version)

    async def remove(self, grant: Grant, mapping_id: str, *, expected_version: int | None) -> None:
        """Read its topics no longer. Raises Conflict and NotFound as `replace` does."""
        async with self._store.community(str(grant.community_id)) as tx:
            await tx.topic_mappings.remove(mapping_id, expected_version=expected_version)

    async def dead_letters(self, grant: Grant, *, before: int | None, limit: int) -> list[DeadLetter]:
        async with self._store.community(str(grant.community_id)) as tx:
            return await tx.dead_letters.page(before=before, limit=limit)

    async def remove_dead_letters(self, grant: Grant, *, received_until: datetime | None) -> int:
        """Forget all of them, or those that came until then; how many."""
        async with self._store.community(str(grant.community_id)) as tx:
            return await tx.dead_letters.remove(received_until=received_until)

    async def try_out(self, grant: Grant, mapping: TopicMapping, topic: str, payload: bytes) -> Sifted:
        """What the mapping would make of this message now, also one that is not kept; nothing is stored.

        Raises:
            InvalidInput: a path is none, or the topic does not fit.
        """
        reader = PayloadReader(mapping)
        if not fits(mapping.topic, topic):
            raise InvalidInput("this topic does not fit the mapping's", field="topic")
        async with self._store.community(str(grant.community_id)) as tx:
            now = self._clock.now()
            return await sift(tx, [Piece(Message(topic, payload, now), reader)], now)


def readable(stored: StoredMapping) -> TopicMapping:
    """Raises Conflict when what is stored is not understood."""
    if isinstance(stored.mapping, UnreadableMapping):
        raise Conflict(f"{stored.mapping.reason}; replace the mapping with PUT, or delete it")
    return stored.mapping


def _check_topic(grant: Grant, mapping: TopicMapping) -> None:
    """Topics are where communities meet: outside of their own ones an administrator decides, in person."""
    community_id = str(grant.community_id)
    is_administrator = grant.caller.role is Role.ADMIN and not grant.caller.is_key
    if not is_administrator and not mapping.topic.belongs_to(community_id):
        raise NotAllowed(
            f"a topic must begin with {OWN_TOPICS}/{community_id}/; ask an administrator to map any other",
        )
