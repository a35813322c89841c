"""Something else answers where the key service should be, or with a key that does not serve."""

import http.server
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service.errors import KeyServiceRefused, KeyServiceUnavailable
from service.keyring.kms import vault as vault_module
from service.keyring.kms.aws import AwsKms
from service.keyring.kms.provider import WithDeadline
from service.keyring.kms.vault import VaultSettings, VaultTransit
from tests.keyring.rigs import VaultRig
from tests.support.bao import Bao

DATA_KEY = bytes(range(32))
AAD = b"openshow-auth data key, epoch 1"

ANSWERS = [
    (200, b"<html>hello</html>"),
    (200, b"{}"),
    (200, b"[]"),
    (200, b"null"),
    (200, b'"text"'),
    (200, b'{"data": []}'),
    (200, b'{"data": {"ciphertext": 5}}'),
    (200, b'{"CiphertextBlob": 5}'),
    (200, b""),
    (204, b""),
    (404, b"<html>no such page</html>"),
    (405, b""),
]


@contextmanager
def answering(
    status: int, body: bytes, location: str = "", asked: list[str] | None = None
) -> Iterator[str]:
    """The address of a web server that has this answer to everything. `asked`: the paths."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            if asked is not None:
                asked.append(self.path)
            self.send_response(status)
            if location:
                self.send_header("location", location)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_PUT = do_GET = do_POST  # noqa: N815  the library's names

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(("status", "body"), ANSWERS)
def test_vault(status: int, body: bytes) -> None:
    """The operator is sent to the address, not to the log of a Vault that is not there."""
    with answering(status, body) as address:
        provider = VaultTransit(VaultSettings(address=address, key="k", token="t"))
        with pytest.raises(KeyServiceRefused, match=r"at VAULT_ADDR .* is not Vault's API"):
            provider.wrap(DATA_KEY, AAD)
        role = VaultSettings(address=address, key="k", role_id="r", secret_id="s")
        with pytest.raises(KeyServiceRefused, match=r"at VAULT_ADDR .* is not Vault's API"):
            VaultTransit(role).wrap(DATA_KEY, AAD)


@pytest.mark.parametrize("status", [200, 500])
def test_no_long_answer_of_vaults_is_read(status: int) -> None:
    """It could fill the memory of a process that starts, though its beginning is Vault's."""
    answer = b'{"data": {"ciphertext": "vault:v1:' + b"A" * 80 + b'"}}'
    with answering(status, answer + b" " * 70_000) as address:
        provider = VaultTransit(VaultSettings(address=address, key="k", token="t"))
        with pytest.raises(KeyServiceRefused, match=r"at VAULT_ADDR .* is not Vault's API"):
            provider.wrap(DATA_KEY, AAD)
    with answering(200, answer + b" " * 60_000) as address:
        provider = VaultTransit(VaultSettings(address=address, key="k", token="t"))
        assert provider.wrap(DATA_KEY, AAD)[1:] == b"vault:v1:" + b"A" * 80


def test_no_endless_file_is_read_for_a_token(tmp_path: Path) -> None:
    """A device, or a pipe that nobody writes to, would hold up whatever needs a key."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("/dev/zero", str(tmp_path / "pipe")):
        settings = VaultSettings(address="http://127.0.0.1:1", key="k", token_file=Path(name))
        with pytest.raises(KeyServiceUnavailable):
            VaultTransit(settings).wrap(DATA_KEY, AAD)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("login", [{"token": "t"}, {"role_id": "r", "secret_id": "s"}])
def test_no_redirect_of_vaults_is_followed(status: int, login: dict[str, str]) -> None:
    """Token, secret id and data key go to VAULT_ADDR alone."""
    asked: list[str] = []
    answer = b'{"data": {"ciphertext": "vault:v1:AAAA"}, "auth": {"client_token": "t"}}'
    with (
        answering(200, answer, asked=asked) as elsewhere,
        answering(status, b"", f"{elsewhere}/v1/there") as address,
    ):
        provider = VaultTransit(VaultSettings(address=address, key="k", **login))
        with pytest.raises(KeyServiceRefused, match=r"at VAULT_ADDR .* is not Vault's API"):
            provider.wrap(DATA_KEY, AAD)
    assert asked == []


@pytest.mark.parametrize(("status", "body"), ANSWERS)
def test_aws(status: int, body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is a traceback, or a key."""
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with answering(status, body) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", address)
        provider = AwsKms(["alias/first"])
        with pytest.raises(KeyServiceUnavailable, match=r"cannot be (used|reached)"):
            provider.wrap(DATA_KEY, AAD)
        with pytest.raises(KeyServiceUnavailable, match=r"cannot be (used|reached)"):
            provider.unwrap(b"\x02" + bytes(100), AAD)


def test_a_code_of_an_error_steers_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it is, and whatever is in it: the message has a part of it."""
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    code = b"a\\u001b[2J\\n" + b"x" * 10_000
    with answering(400, b'{"__type":"' + code + b'"}') as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", address)
        with pytest.raises(KeyServiceUnavailable) as told:
            AwsKms(["k"]).wrap(DATA_KEY, AAD)
    assert str(told.value).isprintable()
    assert len(str(told.value)) < 200


def test_the_region_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """`AWS_REGION` is enough, and counts before `AWS_DEFAULT_REGION`, as for all of AWS' tools."""
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert AwsKms(["k"])._client.meta.region_name == "eu-central-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert AwsKms(["k"])._client.meta.region_name == "eu-central-1"


@pytest.mark.parametrize("kind", ["derived", "rsa-2048", "ed25519", "ecdsa-p256"])
def test_a_key_of_another_kind(bao: Bao, vault_rig: VaultRig, kind: str) -> None:
    """A Transit key that cannot bind a wrapped key to its epoch is named as such, at every use."""
    options = {"derived": True} if kind == "derived" else {"key_type": kind}
    bao.client.secrets.transit.create_key(f"of-{kind}", **options)
    provider = vault_rig.provider(f"of-{kind}")
    with pytest.raises(KeyServiceRefused, match="of a type that does not serve"):
        provider.wrap(DATA_KEY, AAD)
    with pytest.raises(KeyServiceRefused, match="of a type that does not serve"):
        provider.unwrap(b"\x03vault:v1:" + b"A" * 80, AAD)


def test_what_nobody_foresaw_is_an_outage() -> None:
    """Whatever a library raises on an answer: no traceback, no words of its own."""

    class Odd:
        def wrap(self, data_key: bytes, aad: bytes) -> bytes:
            raise LookupError(data_key.hex())

        def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
            raise AssertionError(wrapped.hex())

        def __str__(self) -> str:
            return "the odd one"

    provider = WithDeadline(Odd())
    for call, argument in ((provider.wrap, DATA_KEY), (provider.unwrap, b"\x02xx")):
        with pytest.raises(KeyServiceUnavailable, match="the odd one cannot be used") as told:
            call(argument, AAD)
        assert argument.hex() not in str(told.value)
        assert told.value.__cause__ is None


def test_one_login_serves_all_of_a_start(
    bao: Bao, vault_rig: VaultRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret id for a single use: the rehearsal's token is the server's and the workers'; another
    role does not get it; once it has ended, the operator reads why nobody can log in."""
    monkeypatch.delenv(vault_module._HANDED_ON, raising=False)
    role = bao.client.auth.approle
    bao.allow("once", "first")
    role.create_or_update_approle("once", token_policies=["once"], secret_id_num_uses=1)
    ids = {
        "role_id": role.read_role_id("once")["data"]["role_id"],
        "secret_id": role.generate_secret_id("once")["data"]["secret_id"],
    }
    wrapped = vault_rig.provider(token="", **ids).wrap(DATA_KEY, AAD)  # the rehearsal
    for _ in range(2):
        assert vault_rig.provider(token="", **ids).unwrap(wrapped, AAD) == DATA_KEY
    token = os.environ[vault_module._HANDED_ON].partition(":")[2]
    other = vault_rig.provider(token="", **(ids | {"secret_id": "another"}))
    with pytest.raises(KeyServiceRefused, match="the AppRole login is refused"):
        other.wrap(DATA_KEY, AAD)
    bao.client.auth.token.revoke(token)
    with pytest.raises(KeyServiceRefused, match="used once is spent after the first start"):
        vault_rig.provider(token="", **ids).unwrap(wrapped, AAD)
