"""Topic mappings, dead letters, samples and ingesters in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby

from digital_twin.domain.errors import Conflict, NotFound
from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.domain.topics import Pick, Sample, TopicMapping, one_reading, settle
from digital_twin.services.ports import (
    KEPT_LETTERS,
    SAMPLES_WAIT,
    Clock,
    DeadLetter,
    Ingester,
    KeptMapping,
    StoredMapping,
)

LETTERS_KEPT_FOR = timedelta(days=30)
SILENT_AFTER = timedelta(seconds=30)


@dataclass
class TopicTables:
    """One community's."""

    mappings: dict[str, StoredMapping] = field(default_factory=dict[str, StoredMapping])
    letters: list[DeadLetter] = field(default_factory=list[DeadLetter])
    told: int = 0
    samples: dict[tuple[SeriesKey, datetime], Sample] = field(default_factory=dict[tuple[SeriesKey, datetime], Sample])
    due: set[tuple[SeriesKey, datetime]] = field(default_factory=set[tuple[SeriesKey, datetime]])


class MemoryTopicMappings:
    """The port `TopicMappings`."""

    def __init__(self, tables: TopicTables, visible: Mapping[str, TopicTables]) -> None:
        self._mappings = tables.mappings
        self._visible = visible

    async def add(self, mapping: TopicMapping) -> StoredMapping:
        if mapping.mapping_id in self._mappings:
            raise Conflict(f"the topic mapping {mapping.mapping_id!r} exists already; choose another mapping_id")
        self._mappings[mapping.mapping_id] = StoredMapping(mapping, 1)
        return self._mappings[mapping.mapping_id]

    async def get(self, mapping_id: str) -> StoredMapping:
        if mapping_id not in self._mappings:
            raise NotFound(f"there is no topic mapping {mapping_id!r}")
        return self._mappings[mapping_id]

    async def all(self) -> list[StoredMapping]:
        return [one for _, one in sorted(self._mappings.items())]

    async def replace(self, mapping: TopicMapping, *, expected_version: int | None) -> StoredMapping:
        before = await self._expect(mapping.mapping_id, expected_version)
        self._mappings[mapping.mapping_id] = StoredMapping(mapping, before.version + 1)
        return self._mappings[mapping.mapping_id]

    async def remove(self, mapping_id: str, *, expected_version: int | None) -> None:
        await self._expect(mapping_id, expected_version)
        del self._mappings[mapping_id]

    async def _expect(self, mapping_id: str, version: int | None) -> StoredMapping:
        current = await self.get(mapping_id)
        if version not in (None, current.version):
            raise Conflict(f"the mapping was changed meanwhile and is at version {current.version} now; read it again")
        return current

    async def of_all_communities(self) -> list[tuple[str, KeptMapping]]:
        return [
            (community_id, one.mapping)
            for community_id, tables in sorted(self._visible.items())
            for _, one in sorted(tables.mappings.items())
        ]


class MemoryDeadLetters:
    """The port `DeadLetters`."""

    def __init__(self, tables: TopicTables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock

    async def add(self, letters: Sequence[DeadLetter]) -> None:
        for one in letters:
            self._tables.told += 1
            self._tables.letters.append(replace(one, letter_id=self._tables.told))
        if letters:
            oldest = self._clock.now() - LETTERS_KEPT_FOR
            kept = [one for one in self._tables.letters if one.received_at >= oldest]
            self._tables.letters = kept[-KEPT_LETTERS:]

    async def page(self, *, before: int | None, limit: int) -> list[DeadLetter]:
        return [one for one in reversed(self._tables.letters) if before is None or one.letter_id < before][:limit]

    async def remove(self, *, received_until: datetime | None) -> int:
        kept = [one for one in self._tables.letters if received_until is not None and one.received_at > received_until]
        removed = len(self._tables.letters) - len(kept)
        self._tables.letters = kept
        return removed


class MemorySampled:
    """The port `Sampled`; forgets nothing."""

    def __init__(self, tables: TopicTables, visible: Mapping[str, TopicTables]) -> None:
        self._tables = tables
        self._visible = visible

    async def add(self, samples: Sequence[Sample]) -> None:
        for one in samples:
            place = one.key, one.at
            if self._tables.samples.get(place) != one:
                self._tables.samples[place] = one
                self._tables.due.add(place)

    async def settled(self, now: datetime) -> list[SeriesValues]:
        samples = self._tables.samples
        over = {place for place in self._tables.due if _is_over(samples[place], now)}
        self._tables.due -= over
        touched = {(samples[place].key, samples[place].start, samples[place].ends) for place in over}

        def interval(one: Sample) -> tuple[datetime, SeriesKey, datetime]:
            return one.start, one.key, one.ends

        in_order = sorted(samples.values(), key=lambda one: (one.start, _sort_key(one.key), one.ends, one.at))
        groups = [list(group) for _, group in groupby(in_order, key=interval)]
        return [_settled(group) for group in groups if (group[0].key, group[0].start, group[0].ends) in touched]

    async def communities_due(self, now: datetime) -> list[str]:
        return [
            community_id
            for community_id, tables in sorted(self._visible.items())
            if any(tables.samples[place].ends <= now - SAMPLES_WAIT for place in tables.due)
        ]


class MemoryIngesters:
    """The port `Ingesters`."""

    def __init__(self, known: dict[str, tuple[Ingester, datetime]], clock: Clock) -> None:
        self._known = known
        self._clock = clock

    async def tell(self, ingester: Ingester) -> None:
        self._known[ingester.client_id] = ingester, self._clock.now()

    async def find(self, client_id: str) -> Ingester | None:
        if client_id not in self._known:
            return None
        ingester, told_at = self._known[client_id]
        is_fresh = self._clock.now() - told_at < SILENT_AFTER
        return replace(ingester, is_connected=ingester.is_connected and is_fresh)


def _is_over(sample: Sample, now: datetime) -> bool:
    wait = timedelta(0) if sample.pick is Pick.LAST else SAMPLES_WAIT
    return sample.ends + wait <= now


def _settled(group: Sequence[Sample]) -> SeriesValues:
    last = group[-1]
    value, quality = settle(last.pick, [one.value for one in group], [one.quality for one in group])
    return one_reading(last.key, last.start, last.resolution_minutes, value, quality)


def _sort_key(key: SeriesKey) -> tuple[str, str, str]:
    return key.name, key.member_id or "", key.asset_id or ""
