"""Messages that come in by topic, what they mean to a community, and those that meant nothing."""

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from digital_twin.domain.readings import SeriesValues
from digital_twin.domain.topics import Sample, TopicMapping

KEPT_LETTERS = 10_000
"""Dead letters of one community; the oldest give way."""

SAMPLES_WAIT = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Message:
    """What was published, and when it arrived."""

    topic: str
    payload: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class UnreadableMapping:
    """A mapping that is stored in a form which this version does not understand: none of its topics is read."""

    mapping_id: str
    reason: str


KeptMapping = TopicMapping | UnreadableMapping


@dataclass(frozen=True, slots=True)
class StoredMapping:
    """A mapping with the version that an ETag names."""

    mapping: KeptMapping
    version: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message from which not everything could be stored, and why; `letter_id` is 0 until it is kept."""

    received_at: datetime
    topic: str
    payload: bytes
    payload_bytes: int  # of the whole, where only its beginning is kept
    reason: str
    letter_id: int = 0


@dataclass(frozen=True, slots=True)
class Ingester:
    """A process that takes messages from the broker: which session is its own and what that is subscribed to."""

    client_id: str
    is_connected: bool
    filters: tuple[str, ...]


class TopicMappings(Protocol):
    """Mappings of the community that the transaction entered; each change is told to whoever listens.

    One that cannot be read keeps none of the others from being read.
    """

    async def add(self, mapping: TopicMapping) -> StoredMapping:
        """Raises Conflict when the id is taken."""
        ...

    async def get(self, mapping_id: str) -> StoredMapping:
        """Raises NotFound."""
        ...

    async def all(self) -> list[StoredMapping]:
        """By id."""
        ...

    async def replace(self, mapping: TopicMapping, *, expected_version: int | None) -> StoredMapping:
        """Raises NotFound, and Conflict when the version is not the expected one."""
        ...

    async def remove(self, mapping_id: str, *, expected_version: int | None) -> None:
        """Raises as `replace` does."""
        ...

    async def of_all_communities(self) -> list[tuple[str, KeptMapping]]:
        """Every mapping with its community's id; asked in platform scope."""
        ...


class DeadLetters(Protocol):
    """Dead letters of the community that the transaction entered: the newest of the last weeks."""

    async def add(self, letters: Sequence[DeadLetter]) -> None: ...

    async def page(self, *, before: int | None, limit: int) -> list[DeadLetter]:
        """Newest first; `before` is the id that the last page ended with."""
        ...

    async def remove(self, *, received_until: datetime | None) -> int:
        """All, or those that came until then; how many."""
        ...


class Sampled(Protocol):
    """Samples of the community that the transaction entered, kept for a day."""

    async def add(self, samples: Sequence[Sample]) -> None:
        """One at the same instant of the same series takes the place of the one before."""
        ...

    async def settled(self, now: datetime) -> list[SeriesValues]:
        """What the samples of each interval make that is over and has some that were in none of its values yet.

        The first and the mean wait for late samples `SAMPLES_WAIT` longer; the last does not, since what comes after
        the end of an interval is no sample of it.
        """
        ...

    async def communities_due(self, now: datetime) -> list[str]:
        """Communities that have intervals over for `SAMPLES_WAIT` with such samples; asked in platform scope."""
        ...


class Ingesters(Protocol):
    """Who takes messages from the broker; asked in platform scope."""

    async def tell(self, ingester: Ingester) -> None:
        """It is there now."""
        ...

    async def find(self, client_id: str) -> Ingester | None:
        """What was told of it last; it counts as connected while that was told lately."""
        ...


class Delivery(Protocol):
    """A message that the broker sends again until it is acknowledged."""

    @property
    def message(self) -> Message: ...

    def acknowledge(self) -> None:
        """All that it says is committed. The broker hears it in the order in which the messages came."""
        ...


class BrokerSession(Protocol):
    """A connection to a broker, which keeps what is published while there is none."""

    @property
    def is_resumed(self) -> bool:
        """Whether the broker still knew us: our subscriptions, and what came for them meanwhile."""
        ...

    async def subscribe(self, filters: Collection[str]) -> None:
        """Raises Unavailable when the connection is lost; a filter that the broker refuses is logged."""
        ...

    async def unsubscribe(self, filters: Collection[str]) -> None:
        """Raises Unavailable when the connection is lost."""
        ...

    def deliveries(self) -> AsyncGenerator[Delivery, None]:
        """As they come. Raises Unavailable when the connection is lost."""
        ...


class Broker(Protocol):
    """Where messages are published."""

    @property
    def client_id(self) -> str:
        """The name of our session."""
        ...

    def session(self) -> AbstractAsyncContextManager[BrokerSession]:
        """Raises Unavailable when the broker does not answer or refuses us."""
        ...
