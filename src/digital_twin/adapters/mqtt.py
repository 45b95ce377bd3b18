"""An MQTT 5 broker, whose messages are acknowledged when they are committed and not before."""

import ssl
from collections import deque
from collections.abc import AsyncGenerator, Collection, Generator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiomqtt
from paho.mqtt.client import Client as PahoClient
from paho.mqtt.client import ConnectFlags
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from digital_twin.domain.errors import InvalidInput, Unavailable
from digital_twin.services.ports import Clock, Message
from digital_twin.telemetry import get_logger

KEEP_ALIVE_S = 30
SESSION_KEPT_S = 7 * 86_400
"""So long after we were last connected the broker keeps what is published for us."""

RECEIVE_MAXIMUM = 4_000
"""Messages that may be on their way to the database: the broker holds the others back."""

LARGEST_MESSAGE = 65_536
"""Bytes; larger ones are not sent to us, which bounds what is held."""

FILTERS_AT_ONCE = 100
NEVER_RETAINED = 2
"""Retain handling: what was published before we subscribed may be of any age, so it is not asked for."""

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_SESSION_TAKEN_OVER = 142
_TAKEN_OVER_RETRY_S = 30.0


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the broker is and who we are there; `mqtts://` is over TLS."""

    url: str
    client_id: str
    username: str | None = None
    password: str | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None


class MqttBroker:
    """The port `Broker`.

    Raises:
        InvalidInput: a file for TLS cannot be read, or holds nothing of its kind.
    """

    def __init__(self, address: BrokerAddress, clock: Clock) -> None:
        self._address = address
        self._clock = clock
        self._tls = _tls_context(address) if urlsplit(address.url).scheme == "mqtts" else None

    @property
    def client_id(self) -> str:
        return self._address.client_id

    @asynccontextmanager
    async def session(self) -> AsyncGenerator["MqttSession", None]:
        parts = urlsplit(self._address.url)
        client = _Client(
            str(parts.hostname),
            parts.port or _PORTS[parts.scheme],
            identifier=self._address.client_id,
            username=self._address.username,
            password=self._address.password,
            tls_context=self._tls,
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=False,
            keepalive=KEEP_ALIVE_S,
            properties=_connect_properties(),
        )
        with _translated():
            async with client:
                yield MqttSession(client, self._clock)


class _Client(aiomqtt.Client):
    """aiomqtt, with the two things of paho that it hides: acknowledging by hand, and whether a session was resumed."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._client.manual_ack_set(True)
        self.is_resumed = False

    def acknowledge(self, message: aiomqtt.Message) -> None:
        """Not after a disconnection: the number of the message may be another one's by then."""
        if not self._disconnected.done():
            self._client.ack(message.mid, message.qos)

    def _on_connect(
        self,
        client: PahoClient,
        userdata: Any,
        flags: ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        self.is_resumed = flags.session_present
        super()._on_connect(client, userdata, flags, reason_code, properties)


class MqttSession:
    """The port `BrokerSession`."""

    def __init__(self, client: _Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._held = deque[_Delivery]()

    @property
    def is_resumed(self) -> bool:
        return self._client.is_resumed

    async def subscribe(self, filters: Collection[str]) -> None:
        options = SubscribeOptions(qos=1, retainHandling=NEVER_RETAINED)
        for some in _by_count(sorted(filters)):
            with _translated():
                codes = await self._client.subscribe([(one, options) for one in some])
            for one, code in zip(some, codes, strict=True):
                if isinstance(code, ReasonCode) and code.is_failure:
                    get_logger().error("mqtt_filter_refused", filter=one, reason=str(code))

    async def unsubscribe(self, filters: Collection[str]) -> None:
        for some in _by_count(sorted(filters)):
            with _translated():
                await self._client.unsubscribe(some)

    async def deliveries(self) -> AsyncGenerator["_Delivery", None]:
        with _translated():
            async for received in self._client.messages:
                message = Message(received.topic.value, bytes(received.payload), self._clock.now())
                delivery = _Delivery(self, received, message)
                self._held.append(delivery)
                yield delivery

    def acknowledge_in_order(self) -> None:
        """Those that are done, up to the first that is not (MQTT 5, 4.6)."""
        while self._held and self._held[0].is_done:
            self._client.acknowledge(self._held.popleft().received)


@dataclass(slots=True)
class _Delivery:
    """The port `Delivery`."""

    session: MqttSession
    received: aiomqtt.Message
    message: Message
    is_done: bool = field(default=False)

    def acknowledge(self) -> None:
        self.is_done = True
        self.session.acknowledge_in_order()


@contextmanager
def _translated() -> Generator[None]:
    try:
        yield
    except aiomqtt.MqttError as error:
        cause = error.__cause__ if isinstance(error.__cause__, aiomqtt.MqttCodeError) else error
        code = cause.rc if isinstance(cause, aiomqtt.MqttCodeError) else None
        if isinstance(code, ReasonCode) and code.value == _SESSION_TAKEN_OVER:
            raise Unavailable(
                "another program has connected to the broker under the same MQTT_CLIENT_ID; end one of the two",
                retry_after_s=_TAKEN_OVER_RETRY_S,
            ) from error
        raise Unavailable(f"the broker of MQTT_URL does not serve us: {cause}") from error


def _connect_properties() -> Properties:
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = SESSION_KEPT_S
    properties.ReceiveMaximum = RECEIVE_MAXIMUM
    properties.MaximumPacketSize = LARGEST_MESSAGE
    return properties


def _tls_context(address: BrokerAddress) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=address.ca_file)
    except OSError as error:
        raise InvalidInput(f"MQTT_CA_FILE: {error.strerror or 'it holds no certificate in PEM'}") from error
    if address.certificate_file is not None:
        try:
            context.load_cert_chain(address.certificate_file, address.key_file)
        except OSError as error:
            reason = error.strerror or "they are no certificate and its key in PEM"
            raise InvalidInput(f"MQTT_CERTIFICATE_FILE and MQTT_KEY_FILE: {reason}") from error
    return context


def _by_count(filters: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(filters), FILTERS_AT_ONCE):
        yield list(filters[start : start + FILTERS_AT_ONCE])
