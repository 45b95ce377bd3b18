"""Certificates for tests: an authority, and who it vouches for."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Certified:
    """A certificate and its key as files in PEM."""

    certificate_file: Path
    key_file: Path


class Authority:
    """Signs certificates of this machine's own address."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        unsigned = _builder(name, name, self._key).add_extension(x509.BasicConstraints(True, None), critical=True)
        uses = x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        identity = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        unsigned = unsigned.add_extension(uses, critical=True).add_extension(identity, critical=False)
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(unsigned.sign(self._key, SHA256()).public_bytes(Encoding.PEM))

    def certify(self, name: str) -> Certified:
        key = ec.generate_private_key(ec.SECP256R1())
        here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        unsigned = _builder(name, self._name, key)
        unsigned = unsigned.add_extension(here, critical=False).add_extension(signer, critical=False)
        certified = Certified(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        certified.certificate_file.write_bytes(unsigned.sign(self._key, SHA256()).public_bytes(Encoding.PEM))
        certified.key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return certified


def _builder(name: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
    )
