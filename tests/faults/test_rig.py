"""The rig itself: it finds what is planted, and nothing where nothing is."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tests.api.application import Api, serve
from tests.databases import DatabaseServer
from tests.faults.audit import Findings, audit
from tests.faults.disturbance import register
from tests.faults.ledger import FIRST_DAY, Batch, Ledger
from tests.faults.sender import Meters, Sender

from digital_twin.adapters.postgres.readings import PostgresReadings
from digital_twin.adapters.postgres.store import PostgresStore
from digital_twin.domain.errors import Unavailable
from digital_twin.domain.readings import Receipt, SeriesValues

MEMBERS, BATCHES, SEED = 2, 20, 5
Parts = AsyncIterable[Sequence[SeriesValues]]
COMMUNITIES = (f"planted_{number}" for number in count())


@pytest.fixture(scope="module")
def client(embedded_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with ExitStack() as closing:
        url = closing.enter_context(serve(embedded_server, tmp_path_factory.mktemp("home")))
        yield Api(url, closing).admin


def planned() -> Iterator[Batch]:
    return islice(Meters(0, MEMBERS, SEED, runs=False).batches(), BATCHES)


def found(client: httpx.Client, folder: Path) -> Findings:
    """What an audit finds after some batches."""
    community = next(COMMUNITIES)
    register(client, community, MEMBERS)
    ledger = Ledger(folder / "ledger")
    sender = Sender(client, community, ledger)
    for batch in planned():
        sender.send(batch)
    ledger.close()
    return audit(client, community, [folder / "ledger"], members=MEMBERS)


async def one_part(readings: Sequence[SeriesValues]) -> AsyncIterator[Sequence[SeriesValues]]:
    yield readings


async def gathered(parts: Parts) -> list[SeriesValues]:
    return [one async for part in parts for one in part]


def names_of_faults(findings: Findings) -> set[str]:
    return {name for name, number in findings.faults.items() if number}


def test_nothing_is_found_in_a_store_that_keeps_its_word(client: httpx.Client, tmp_path: Path) -> None:
    findings = found(client, tmp_path)
    assert names_of_faults(findings) == set()
    assert findings.batches > BATCHES / 2
    assert findings.values > BATCHES / 2 * MEMBERS * 9
    assert findings.reads > 0


def test_a_store_that_acknowledges_before_it_commits_loses(
    client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a kill between the two leaves it: every third transaction that wrote readings is rolled back in silence."""
    record, transaction, batches = PostgresReadings.record_parts, PostgresStore.community, count(1)
    doomed: set[int] = set()

    async def remember(self: PostgresReadings, *args: Any, **options: Any) -> Receipt:
        if next(batches) % 3 == 0:
            doomed.add(id(self._connection))
        return await record(self, *args, **options)

    @asynccontextmanager
    async def forget(self: PostgresStore, community_id: str) -> AsyncGenerator[Any, None]:
        async with transaction(self, community_id) as tx:
            yield tx
            if id(tx.readings._connection) in doomed:
                doomed.remove(id(tx.readings._connection))
                await tx.readings._connection.rollback()

    monkeypatch.setattr(PostgresReadings, "record_parts", remember)
    monkeypatch.setattr(PostgresStore, "community", forget)
    assert "lost" in names_of_faults(found(client, tmp_path))


def test_a_store_that_drops_one_value_of_a_batch_loses_it(
    client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = PostgresReadings.record_parts

    async def drop(self: PostgresReadings, parts: Parts, **options: Any) -> Receipt:
        first, *others = await gathered(parts)
        values = first.values.copy()
        values[np.flatnonzero(np.isfinite(values))[:1]] = np.nan
        receipt = await record(self, one_part([replace(first, values=values), *others]), **options)
        return replace(receipt, received=receipt.received + 1, stored=receipt.stored + 1)

    monkeypatch.setattr(PostgresReadings, "record_parts", drop)
    assert {"lost", "sums"} <= names_of_faults(found(client, tmp_path))


def test_a_store_that_stores_a_batch_twice_when_it_is_sent_twice_counts_it_twice(
    client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It forgets the key of a batch whose first answer was lost."""
    record, transaction, attempts = PostgresReadings.record_parts, PostgresStore.community, count()
    written: set[int] = set()

    async def without_key(self: PostgresReadings, parts: Parts, **options: Any) -> Receipt:
        written.add(id(self._connection))
        return await record(self, parts, **{**options, "key": f"attempt {next(attempts)}"})

    @asynccontextmanager
    async def answer_late(self: PostgresStore, community_id: str) -> AsyncGenerator[Any, None]:
        async with transaction(self, community_id) as tx:
            yield tx
            wrote = id(tx.readings._connection) in written
            written.discard(id(tx.readings._connection))
        if wrote and next(attempts) % 3 == 0:
            raise Unavailable("the answer is lost", retry_after_s=1)

    monkeypatch.setattr(PostgresReadings, "record_parts", without_key)
    monkeypatch.setattr(PostgresStore, "community", answer_late)
    assert "doubled" in names_of_faults(found(client, tmp_path))


def test_a_store_that_rounds_changes_values(
    client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = PostgresReadings.record_parts

    async def round_off(self: PostgresReadings, parts: Parts, **options: Any) -> Receipt:
        rounded = [replace(one, values=one.values.round(3)) for one in await gathered(parts)]
        return await record(self, one_part(rounded), **options)

    monkeypatch.setattr(PostgresReadings, "record_parts", round_off)
    assert "changed" in names_of_faults(found(client, tmp_path))


def test_a_store_that_keeps_half_of_a_batch_without_an_answer_is_found_torn(
    client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each series is committed alone, and the answer to what is sent once never comes."""
    record = PostgresReadings.record_parts
    once = {batch.day for batch in planned() if batch.way == "once"}

    async def tear(self: PostgresReadings, parts: Parts, **options: Any) -> Receipt:
        readings = await gathered(parts)
        if (readings[0].grid.start - FIRST_DAY).days not in once:
            return await record(self, one_part(readings), **options)
        await record(self, one_part(readings[:1]), **options)
        await self._connection.commit()
        raise Unavailable("the answer is lost", retry_after_s=1)

    monkeypatch.setattr(PostgresReadings, "record_parts", tear)
    assert "torn" in names_of_faults(found(client, tmp_path))


def test_a_store_that_forgets_what_was_known_answers_the_past_otherwise(
    client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = PostgresReadings.read

    async def as_now(self: PostgresReadings, *args: Any, as_of: Any = None) -> list[SeriesValues]:
        return await read(self, *args)

    monkeypatch.setattr(PostgresReadings, "read", as_now)
    assert "reread" in names_of_faults(found(client, tmp_path))
