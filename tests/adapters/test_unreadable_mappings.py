"""A topic mapping whose stored form is damaged, or of another version, harms itself alone, and is told of."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

import psycopg
import pytest
import structlog
from tests.builders import community
from tests.databases import DatabaseServer

from digital_twin.adapters.clock import SystemClock
from digital_twin.adapters.postgres.database import open_pool
from digital_twin.adapters.postgres.store import PostgresStore
from digital_twin.domain.errors import Conflict, NotAllowed
from digital_twin.domain.topics import TopicMapping, TopicTemplate, ValueMapping
from digital_twin.services.access import Caller, Grant, Role
from digital_twin.services.ingest import IngestService
from digital_twin.services.topics import TopicService, readable

HERE = "solar_valley"
GOOD = TopicMapping("good", TopicTemplate(f"communities/{HERE}/good/{{member_id}}"), (ValueMapping("load_kw", "$.kw"),))
BAD = replace(GOOD, mapping_id="bad", topic=TopicTemplate(f"communities/{HERE}/bad/{{member_id}}"))
OPERATOR = Grant(Caller(1, "operator", Role.OPERATOR), HERE)
DAMAGES = [
    "document - 'values'",
    "'null'",
    "'[]'",
    """document || '{"invented_later": 1}'""",
    """document || '{"resolution_minutes": 7}'""",
    """document || '{"topic": "a/b"}'""",
    """document || '{"time": {"path": "$.at", "format": "sundial", "marks": "start"}}'""",
    """document || '{"items_path": "$..several"}'""",
]


@dataclass(frozen=True)
class Damaged:
    """A community with a good mapping and a damaged one, and its use cases."""

    topics: TopicService
    ingest: IngestService


@pytest.fixture(params=DAMAGES)
async def damaged(request: pytest.FixtureRequest, given_server: DatabaseServer) -> AsyncGenerator[Damaged, None]:
    async with given_server.database() as address, open_pool(address, size=2) as pool:
        store = PostgresStore(pool)
        async with store.platform() as tx:
            await tx.communities.create(community(HERE))
        async with store.community(HERE) as tx:
            for mapping in (BAD, GOOD):
                await tx.topic_mappings.add(mapping)
        async with await psycopg.AsyncConnection.connect(address, autocommit=True) as owner:
            await owner.execute(f"update topic_mapping set document = {request.param} where mapping_id = 'bad'")
        yield Damaged(TopicService(store, SystemClock()), IngestService(store, SystemClock()))


async def test_the_others_are_read_and_the_log_says_which_is_not(damaged: Damaged) -> None:
    with structlog.testing.capture_logs() as logged:
        await damaged.ingest.load_routes()
    assert damaged.ingest.routes.filters == {f"communities/{HERE}/good/+"}
    [line] = logged
    assert (line["event"], line["log_level"], line["community_id"]) == ("topic_mapping_not_read", "error", HERE)
    assert line["error"]


async def test_the_community_sees_which_one_is_not_read_and_why(damaged: Damaged) -> None:
    read, [unreadable] = await damaged.topics.all(OPERATOR)
    assert read == [GOOD]
    assert unreadable.mapping_id == "bad"
    assert unreadable.reason


async def test_it_is_mended_by_replacing_it(damaged: Damaged) -> None:
    with pytest.raises(NotAllowed):  # its topic may have been another one
        await damaged.topics.replace(OPERATOR, "bad", replace(BAD, topic=TopicTemplate("a/b")), expected_version=None)
    await damaged.topics.replace(OPERATOR, "bad", BAD, expected_version=1)
    assert readable(await damaged.topics.get(OPERATOR, "bad")) == BAD
    assert await damaged.topics.all(OPERATOR) == ([BAD, GOOD], [])


async def test_it_is_mended_by_deleting_it(damaged: Damaged) -> None:
    await damaged.topics.remove(OPERATOR, "bad", expected_version=1)
    assert await damaged.topics.all(OPERATOR) == ([GOOD], [])


@pytest.mark.parametrize("damaged", DAMAGES[:2], indirect=True)
async def test_asked_for_alone_it_says_what_to_do(damaged: Damaged) -> None:
    with pytest.raises(Conflict, match="replace the mapping with PUT, or delete it"):
        readable(await damaged.topics.get(OPERATOR, "bad"))
