"""Messages become readings: each is stored, or kept as a dead letter that says why not, before it is acknowledged."""

import secrets
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from digital_twin.domain.errors import NotFound, Unavailable
from digital_twin.domain.readings import CLOCK_TOLERANCE, Receipt, SeriesValues, check_readings
from digital_twin.domain.topics import Pick, Sample
from digital_twin.services.payloads import PayloadReader
from digital_twin.services.ports import (
    Clock,
    DeadLetter,
    Ingester,
    KeptMapping,
    Message,
    Store,
    Transaction,
    UnreadableMapping,
)
from digital_twin.services.reading_parts import count_readings
from digital_twin.services.topic_routes import Route, TopicRoutes, ready
from digital_twin.telemetry import MQTT_MESSAGES, READINGS, get_logger

KEPT_PAYLOAD_BYTES = 2048
"""What a dead letter keeps of a payload."""

KEPT_REASON_LENGTH = 1000


@dataclass(frozen=True, slots=True)
class Piece:
    """A message, and what one mapping of one community has to do with it."""

    message: Message
    reader: PayloadReader


@dataclass(slots=True)
class Sifted:
    """What may be stored of some messages, and of each by its number why other things may not."""

    readings: list[SeriesValues] = field(default_factory=list[SeriesValues])
    samples: list[Sample] = field(default_factory=list[Sample])
    reasons: dict[int, list[str]] = field(default_factory=lambda: defaultdict[int, list[str]](list))
    rejected: int = 0  # values among what may not


async def sift(tx: Transaction, pieces: Sequence[Piece], now: datetime) -> Sifted:
    """Read some messages of the community that the transaction entered."""
    sifted, told = Sifted(), list[tuple[int, Sample]]()
    for number, piece in enumerate(pieces):
        findings = piece.reader.read(piece.message.topic, piece.message.payload, piece.message.received_at)
        told += [(number, sample) for sample in findings.samples]
        if findings.reasons:
            sifted.reasons[number] += findings.reasons
    wanted = dict.fromkeys((sample.key, sample.resolution_minutes) for _, sample in told)
    refusals = await tx.readings.refusals(list(wanted))
    for number, sample in told:
        is_under_way = sample.at <= now + CLOCK_TOLERANCE and sample.ends > now
        kept, rejected = check_readings(sample.reading, sample.ends if is_under_way else now)
        refusal = refusals.get((sample.key, sample.resolution_minutes))
        if refusal is not None or rejected:
            sifted.reasons[number].append(f"{sample.key.name}: {refusal or rejected[0].reason}")
            sifted.rejected += 1
        elif sample.pick is Pick.LAST and not (is_under_way and sample.has_length):
            sifted.readings.append(kept)
        else:
            sifted.samples.append(sample)
    return sifted


class IngestService:
    """Use cases of the process that takes messages from a broker."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.routes = TopicRoutes()

    async def load_routes(self) -> None:
        """Read the mappings of all communities anew; one that cannot be read is logged and left out."""
        async with self._store.platform() as tx:
            kept = await tx.topic_mappings.of_all_communities()
        self.routes = TopicRoutes(_routes(kept))

    async def store(self, community_id: str, pieces: Sequence[Piece]) -> None:
        """Commit what these messages say to a community, and why something could not be read.

        A message that nothing else is known to do with than fail is found by halving, and holds up no other.

        Raises:
            Unavailable: not everything is committed; to be tried again.
        """
        try:
            await self._store_at_once(community_id, pieces)
        except NotFound:
            MQTT_MESSAGES.labels("unmapped").inc(len(pieces))  # the community was deleted meanwhile
        except Unavailable:
            raise
        except Exception as error:
            if len(pieces) == 1:
                get_logger().error("message_not_stored", community_id=community_id, exc_info=error)
                await self._give_up(community_id, pieces[0])
                return
            half = len(pieces) // 2
            await self.store(community_id, pieces[:half])
            await self.store(community_id, pieces[half:])

    async def _store_at_once(self, community_id: str, pieces: Sequence[Piece]) -> None:
        async with self._store.community(community_id) as tx:
            now = self._clock.now()
            # first: a value that comes when its interval is over is later than any that waited for that
            settled = await _record(tx, await _settled(tx, now))
            sifted = await sift(tx, pieces, now)
            await tx.sampled.add(sifted.samples)
            receipt = await _record(tx, sifted.readings)
            letters = [_letter(pieces[number].message, reasons) for number, reasons in sifted.reasons.items()]
            await tx.dead_letters.add(letters)
        _count(settled)
        _count(receipt, sifted.rejected)
        MQTT_MESSAGES.labels("stored").inc(len(pieces) - len(letters))
        MQTT_MESSAGES.labels("dead_letter").inc(len(letters))

    async def _give_up(self, community_id: str, piece: Piece) -> None:
        letter = _letter(piece.message, ["it could not be stored for a reason that is ours; the log says which"])
        async with self._store.community(community_id) as tx:
            await tx.dead_letters.add([letter])
        MQTT_MESSAGES.labels("dead_letter").inc()

    async def settle_samples(self) -> None:
        """Record what the samples of intervals make that are over, where no message comes any more."""
        now = self._clock.now()
        async with self._store.platform() as tx:
            due = await tx.sampled.communities_due(now)
        for community_id in due:
            async with self._store.community(community_id) as tx:
                receipt = await _record(tx, await _settled(tx, now))
            _count(receipt)

    async def subscribed_before(self, client_id: str) -> frozenset[str]:
        """What the session of this client was subscribed to when it was heard of last."""
        async with self._store.platform() as tx:
            known = await tx.ingesters.find(client_id)
        return frozenset() if known is None else frozenset(known.filters)

    async def is_taking(self, client_id: str) -> bool:
        """Whether somebody takes messages as this client now."""
        try:
            async with self._store.platform() as tx:
                known = await tx.ingesters.find(client_id)
        except Unavailable:
            return False
        return known is not None and known.is_connected

    async def tell(self, ingester: Ingester) -> None:
        """Let readiness know whether messages are taken."""
        async with self._store.platform() as tx:
            await tx.ingesters.tell(ingester)


def _routes(kept: Sequence[tuple[str, KeptMapping]]) -> Iterator[Route]:
    for community_id, mapping in kept:
        reader = ready(mapping)
        if isinstance(reader, UnreadableMapping):
            facts = {"community_id": community_id, "mapping_id": reader.mapping_id, "error": reader.reason}
            get_logger().error("topic_mapping_not_read", **facts)
        else:
            yield Route(community_id, reader)


async def _settled(tx: Transaction, now: datetime) -> list[SeriesValues]:
    """What samples make whose interval is over; a series that has got another resolution meanwhile takes none."""
    settled = await tx.sampled.settled(now)
    refusals = await tx.readings.refusals([(one.key, one.grid.step_minutes) for one in settled]) if settled else {}
    kept: list[SeriesValues] = []
    letters: list[DeadLetter] = []
    for one in settled:
        reason = refusals.get((one.key, one.grid.step_minutes))
        if reason is None:
            kept.append(one)
        else:
            what = f"samples of {one.key.name} since {one.grid.start:%Y-%m-%dT%H:%MZ}"
            letters.append(DeadLetter(now, "", b"", 0, f"{what}: {reason}"))
    await tx.dead_letters.add(letters)
    return kept


def _count(receipt: Receipt | None, rejected: int = 0) -> None:
    if receipt is not None:
        count_readings(receipt, 0)
    READINGS.labels("rejected").inc(rejected)


async def _record(tx: Transaction, values: Sequence[SeriesValues]) -> Receipt | None:
    return await tx.readings.record(values, key=secrets.token_urlsafe(24)) if values else None


def _letter(message: Message, reasons: Sequence[str]) -> DeadLetter:
    return DeadLetter(
        received_at=message.received_at,
        topic=message.topic,
        payload=message.payload[:KEPT_PAYLOAD_BYTES],
        payload_bytes=len(message.payload),
        reason="; ".join(dict.fromkeys(reasons))[:KEPT_REASON_LENGTH],
    )
