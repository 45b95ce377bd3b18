"""Who we are to a broker, and who it is to us: passwords and certificates, right and wrong ones."""

import gc
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.certificates import Authority, Certified
from tests.mosquitto import Mosquitto
from tests.programs import program

from digital_twin.adapters.clock import SystemClock
from digital_twin.adapters.mqtt import BrokerAddress, MqttBroker
from digital_twin.domain.errors import InvalidInput, Unavailable

# a handshake that fails leaves paho's socket to the collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "our_authority")


@pytest.fixture(scope="module")
def ours(authority: Authority) -> Certified:
    return authority.certify("twin")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerAddress]:
    """A broker that wants a password, and who we are to it."""
    folder = tmp_path_factory.mktemp("guarded")
    passwords = folder / "passwords"
    command = [program("mosquitto_passwd", package="mosquitto"), "-b", "-c", str(passwords), "twin", "correct horse"]
    subprocess.run(command, check=True, capture_output=True)
    broker = Mosquitto(folder, "allow_anonymous false", f"password_file {passwords}")
    broker.start()
    yield BrokerAddress(broker.url, "twin", username="twin", password="correct horse")
    broker.stop()


@pytest.fixture(scope="module")
def encrypted(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority, ours: Certified
) -> Iterator[BrokerAddress]:
    """A broker over TLS that wants our certificate, and who we are to it."""
    folder = tmp_path_factory.mktemp("encrypted")
    its = authority.certify("broker")
    broker = Mosquitto(
        folder,
        f"cafile {authority.file}",
        f"certfile {its.certificate_file}",
        f"keyfile {its.key_file}",
        "require_certificate true",
        "use_identity_as_username true",
    )
    broker.start()
    yield BrokerAddress(
        broker.url.replace("mqtt:", "mqtts:"),
        "twin",
        ca_file=authority.file,
        certificate_file=ours.certificate_file,
        key_file=ours.key_file,
    )
    broker.stop()


async def connects(address: BrokerAddress) -> bool:
    async with MqttBroker(address, SystemClock()).session() as session:
        await session.subscribe(["a/b"])
        return True


async def test_the_right_password_opens_a_session(guarded: BrokerAddress) -> None:
    assert await connects(guarded)


@pytest.mark.parametrize("given", [{"password": "wrong horse"}, {"username": None, "password": None}])
async def test_a_wrong_password_is_refused_in_a_sentence_that_does_not_repeat_it(
    guarded: BrokerAddress, given: dict[str, str | None]
) -> None:
    with pytest.raises(Unavailable, match="Not authorized") as refused:
        await connects(replace(guarded, **given))
    assert "horse" not in refused.value.message


async def test_certificates_of_one_authority_open_a_session(encrypted: BrokerAddress) -> None:
    assert await connects(encrypted)


async def test_a_broker_that_somebody_else_vouches_for_is_not_believed(
    encrypted: BrokerAddress, tmp_path: Path
) -> None:
    with pytest.raises(Unavailable, match="certificate verify failed"):
        await connects(replace(encrypted, ca_file=Authority(tmp_path, "somebody_else").file))


async def test_a_broker_under_another_name_than_its_certificate_says_is_not_believed(encrypted: BrokerAddress) -> None:
    with pytest.raises(Unavailable, match="certificate verify failed"):
        await connects(replace(encrypted, url=encrypted.url.replace("127.0.0.1", "localhost")))


async def test_without_the_certificate_that_the_broker_wants_there_is_no_session(encrypted: BrokerAddress) -> None:
    with pytest.raises(Unavailable):
        await connects(replace(encrypted, certificate_file=None, key_file=None))


async def test_a_broker_that_is_not_there_is_unavailable(encrypted: BrokerAddress) -> None:
    with pytest.raises(Unavailable, match="broker of MQTT_URL does not serve us"):
        await connects(BrokerAddress("mqtt://127.0.0.1:9", "twin"))


@pytest.mark.parametrize(
    ("given", "setting"),
    [
        ({"ca_file": Path("/no/such/file")}, "MQTT_CA_FILE: No such file"),
        ({"certificate_file": Path("/no/such/file")}, "MQTT_CERTIFICATE_FILE and MQTT_KEY_FILE: No such file"),
    ],
)
async def test_a_file_that_cannot_be_read_is_named_by_its_setting(
    encrypted: BrokerAddress, given: dict[str, Path], setting: str
) -> None:
    with pytest.raises(InvalidInput, match=setting):
        MqttBroker(replace(encrypted, **given), SystemClock())


async def test_a_file_without_certificates_is_named_by_its_setting(encrypted: BrokerAddress, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing\n")
    with pytest.raises(InvalidInput, match=r"MQTT_CA_FILE"):
        MqttBroker(replace(encrypted, ca_file=empty), SystemClock())
    with pytest.raises(InvalidInput, match=r"MQTT_CERTIFICATE_FILE"):
        MqttBroker(replace(encrypted, certificate_file=empty), SystemClock())
