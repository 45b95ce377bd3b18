"""Topic mappings, dead letters, samples and ingesters in SQL."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from digital_twin.adapters.postgres.codec import to_document, topic_mapping_from
from digital_twin.adapters.postgres.locks import hold_community
from digital_twin.domain.errors import Conflict, InvalidInput, NotFound
from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.domain.topics import Pick, Sample, TopicMapping, one_reading, settle
from digital_twin.services.ports import (
    KEPT_LETTERS,
    SAMPLES_WAIT,
    DeadLetter,
    Ingester,
    KeptMapping,
    StoredMapping,
    UnreadableMapping,
)

LETTERS_KEPT_FOR = timedelta(days=30)
SAMPLES_KEPT_FOR = timedelta(days=1)
FORGOTTEN_AT_ONCE = 1000
SILENT_AFTER = timedelta(seconds=30)
"""An ingester that was not told of for so long is taken for gone."""

_LETTER = "received_at, topic, payload, payload_bytes, reason, id"


class PostgresTopicMappings:
    """The port `TopicMappings`."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int) -> None:
        self._connection = connection
        self._community = community

    async def add(self, mapping: TopicMapping) -> StoredMapping:
        cursor = await self._connection.execute(
            "insert into topic_mapping (community, mapping_id, document) values (%s, %s, %s) "
            "on conflict (community, mapping_id) do nothing returning mapping_id, document, version",
            (self._community, mapping.mapping_id, Jsonb(to_document(mapping))),
        )
        row = await cursor.fetchone()
        if row is None:
            raise Conflict(f"the topic mapping {mapping.mapping_id!r} exists already; choose another mapping_id")
        return _stored(row)

    async def get(self, mapping_id: str) -> StoredMapping:
        cursor = await self._connection.execute(
            "select mapping_id, document, version from topic_mapping where community = %s and mapping_id = %s",
            (self._community, mapping_id),
        )
        row = await cursor.fetchone()
        if row is None:
            raise NotFound(f"there is no topic mapping {mapping_id!r}")
        return _stored(row)

    async def all(self) -> list[StoredMapping]:
        cursor = await self._connection.execute(
            "select mapping_id, document, version from topic_mapping where community = %s "
            'order by mapping_id collate "C"',
            (self._community,),
        )
        return [_stored(row) for row in await cursor.fetchall()]

    async def replace(self, mapping: TopicMapping, *, expected_version: int | None) -> StoredMapping:
        cursor = await self._connection.execute(
            "update topic_mapping set document = %s, version = version + 1 "
            "where community = %s and mapping_id = %s and version = coalesce(%s, version) "
            "returning mapping_id, document, version",
            (Jsonb(to_document(mapping)), self._community, mapping.mapping_id, expected_version),
        )
        row = await cursor.fetchone()
        if row is None:
            raise await self._why_unchanged(mapping.mapping_id)
        return _stored(row)

    async def remove(self, mapping_id: str, *, expected_version: int | None) -> None:
        cursor = await self._connection.execute(
            "delete from topic_mapping where community = %s and mapping_id = %s and version = coalesce(%s, version)",
            (self._community, mapping_id, expected_version),
        )
        if not cursor.rowcount:
            raise await self._why_unchanged(mapping_id)

    async def _why_unchanged(self, mapping_id: str) -> Conflict:
        current = await self.get(mapping_id)
        return Conflict(f"the mapping was changed meanwhile and is at version {current.version} now; read it again")

    async def of_all_communities(self) -> list[tuple[str, KeptMapping]]:
        cursor = await self._connection.execute("select community_id, document from topic_mappings_of_all()")
        return [(community_id, _kept(_id_in(document), document)) for community_id, document in await cursor.fetchall()]


class PostgresDeadLetters:
    """The port `DeadLetters`."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int) -> None:
        self._connection = connection
        self._community = community

    async def add(self, letters: Sequence[DeadLetter]) -> None:
        if not letters:
            return
        async with self._connection.cursor() as cursor:
            await cursor.executemany(
                "insert into dead_letter (community, received_at, topic, payload, payload_bytes, reason) "
                "values (%s, %s, %s, %s, %s, %s)",
                [
                    (self._community, one.received_at, one.topic, one.payload, one.payload_bytes, one.reason)
                    for one in letters
                ],
            )
        await self._connection.execute(
            "delete from dead_letter where community = %s and id <= "
            "  (select id from dead_letter where community = %s order by id desc offset %s limit 1)",
            (self._community, self._community, KEPT_LETTERS),
        )
        await self._connection.execute(
            "delete from dead_letter where id in (select id from dead_letter where community = %s "
            "and received_at < clock_timestamp() - %s order by id limit %s)",
            (self._community, LETTERS_KEPT_FOR, FORGOTTEN_AT_ONCE),
        )

    async def page(self, *, before: int | None, limit: int) -> list[DeadLetter]:
        cursor = await self._connection.execute(
            f"select {_LETTER} from dead_letter where community = %s and (%s::bigint is null or id < %s::bigint) "
            "order by id desc limit %s",
            (self._community, before, before, limit),
        )
        return [DeadLetter(*row) for row in await cursor.fetchall()]

    async def remove(self, *, received_until: datetime | None) -> int:
        cursor = await self._connection.execute(
            "delete from dead_letter where community = %s and (%s::timestamptz is null or received_at <= %s)",
            (self._community, received_until, received_until),
        )
        return cursor.rowcount


class PostgresSampled:
    """The port `Sampled`."""

    def __init__(self, connection: AsyncConnection[TupleRow], community: int) -> None:
        self._connection = connection
        self._community = community

    async def add(self, samples: Sequence[Sample]) -> None:
        if not samples:
            return
        async with self._connection.cursor() as cursor:
            await cursor.executemany(
                "insert into sample (community, name, member_id, asset_id, at, start, ends, value, quality, pick) "
                "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
                "on conflict (community, name, member_id, asset_id, at) do update set start = excluded.start, "
                "ends = excluded.ends, value = excluded.value, quality = excluded.quality, pick = excluded.pick, "
                "is_due = true where (sample.start, sample.ends, sample.value, sample.quality, sample.pick) "
                "  <> (excluded.start, excluded.ends, excluded.value, excluded.quality, excluded.pick)",
                [_sample_row(self._community, one) for one in samples],
            )

    async def settled(self, now: datetime) -> list[SeriesValues]:
        await hold_community(self._connection, self._community)  # as whoever records them does
        cursor = await self._connection.execute(
            "with due as (update sample set is_due = false where community = %s and is_due and ends <= %s "
            "  and (pick = 'last' or ends <= %s) returning name, member_id, asset_id, start, ends) "
            "select s.name, s.member_id, s.asset_id, s.start, s.ends, array_agg(s.value order by at), "
            "  array_agg(s.quality order by at), (array_agg(s.pick order by at desc))[1] from sample s "
            "join (select distinct * from due) d on s.name = d.name and s.start = d.start and s.ends = d.ends "
            "  and s.member_id is not distinct from d.member_id and s.asset_id is not distinct from d.asset_id "
            "where s.community = %s group by 1, 2, 3, 4, 5 order by 4, 1, 2, 3",
            (self._community, now, now - SAMPLES_WAIT, self._community),
        )
        settled = [_settled(row) for row in await cursor.fetchall()]
        if settled:
            await self._connection.execute(
                "delete from sample where community = %s and told_at < clock_timestamp() - %s and not is_due",
                (self._community, SAMPLES_KEPT_FOR),
            )
        return settled

    async def communities_due(self, now: datetime) -> list[str]:
        cursor = await self._connection.execute(
            "select community_id from communities_with_samples_due(%s)", (now - SAMPLES_WAIT,)
        )
        return [community_id for (community_id,) in await cursor.fetchall()]


class PostgresIngesters:
    """The port `Ingesters`."""

    def __init__(self, connection: AsyncConnection[TupleRow]) -> None:
        self._connection = connection

    async def tell(self, ingester: Ingester) -> None:
        await self._connection.execute(
            "insert into ingester (client_id, is_connected, filters) values (%s, %s, %s) "
            "on conflict (client_id) do update set is_connected = excluded.is_connected, "
            "filters = excluded.filters, told_at = clock_timestamp()",
            (ingester.client_id, ingester.is_connected, list(ingester.filters)),
        )

    async def find(self, client_id: str) -> Ingester | None:
        cursor = await self._connection.execute(
            "select client_id, is_connected and told_at > clock_timestamp() - %s, filters from ingester "
            "where client_id = %s",
            (SILENT_AFTER, client_id),
        )
        row = await cursor.fetchone()
        return None if row is None else Ingester(row[0], row[1], tuple(row[2]))


def _stored(row: tuple[Any, ...]) -> StoredMapping:
    mapping_id, document, version = row
    return StoredMapping(_kept(mapping_id, document), version)


def _kept(mapping_id: str, document: Any) -> KeptMapping:
    """The mapping of a document that an earlier version, or somebody by hand, may have written."""
    try:
        return topic_mapping_from(document)
    except InvalidInput as error:
        reason = error.message
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        reason = f"what is stored is of no form that is known here: {error!r}"
    return UnreadableMapping(mapping_id, reason)


def _id_in(document: Any) -> str:
    return str(document.get("mapping_id", "")) if isinstance(document, dict) else ""


def _sample_row(community: int, one: Sample) -> tuple[Any, ...]:
    key = one.key
    return (
        community, key.name, key.member_id, key.asset_id, one.at, one.start, one.ends, one.value, int(one.quality),
        one.pick.value,
    )  # fmt: skip


def _settled(row: tuple[Any, ...]) -> SeriesValues:
    name, member_id, asset_id, start, ends, values, qualities, pick = row
    value, quality = settle(Pick(pick), values, qualities)
    key = SeriesKey(name, member_id, asset_id)
    return one_reading(key, start, (ends - start) // timedelta(minutes=1), value, quality)
