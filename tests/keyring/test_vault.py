"""What is Vault's own: tokens, versions of the key, and what the operator reads when it refuses."""

from pathlib import Path
from typing import Any

import hvac
import pytest
from tools.testbed.waiting import wait_until

from service.errors import KeyServiceUnavailable, StartupError
from service.keyring.kms.vault import VaultSettings, VaultTransit
from tests.keyring.rigs import VaultRig
from tests.support.bao import ROOT_TOKEN, Bao

DATA_KEY = bytes(range(32))
AAD = b"openshow-auth data key, epoch 1"


def refused(provider: Any, says: str, wrapped: bytes | None = None) -> None:
    with pytest.raises(KeyServiceUnavailable, match=says):
        provider.unwrap(wrapped, AAD) if wrapped else provider.wrap(DATA_KEY, AAD)


@pytest.fixture
def key(bao: Bao, request: pytest.FixtureRequest) -> str:
    """A key of this test's own, and a policy by the same name that allows its use only."""
    name = str(request.node.name)
    bao.client.secrets.transit.create_key(name)
    bao.allow(name, name)
    return name


def token_of(bao: Bao, policy: str, ttl: str = "1h") -> str:
    created = bao.client.auth.token.create(policies=[policy], ttl=ttl, no_default_policy=True)
    return str(created["auth"]["client_token"])


def test_key_is_rotated(bao: Bao, vault_rig: VaultRig, key: str) -> None:
    """After a rotation the new version wraps, and what the old one wrapped still opens."""
    provider = vault_rig.provider(key)
    first = provider.wrap(DATA_KEY, AAD)
    bao.client.secrets.transit.rotate_key(key)
    second = provider.wrap(DATA_KEY, AAD)
    assert (first[1:10], second[1:10]) == (b"vault:v1:", b"vault:v2:")
    assert provider.unwrap(first, AAD) == provider.unwrap(second, AAD) == DATA_KEY


def test_old_version_is_no_longer_allowed(bao: Bao, vault_rig: VaultRig, key: str) -> None:
    """min_decryption_version raised too early is told in words, and lowering it mends it."""
    provider = vault_rig.provider(key)
    first = provider.wrap(DATA_KEY, AAD)
    bao.client.secrets.transit.rotate_key(key)
    bao.client.secrets.transit.update_key_configuration(key, min_decryption_version=2)
    refused(provider, "lower its min_decryption_version", first)
    bao.client.secrets.transit.update_key_configuration(key, min_decryption_version=1)
    assert provider.unwrap(first, AAD) == DATA_KEY


def test_sealed_and_unsealed(bao: Bao, vault_rig: VaultRig) -> None:
    """One provider says that Vault is sealed, and goes on once it is not."""
    provider = vault_rig.provider()
    wrapped = provider.wrap(DATA_KEY, AAD)
    bao.seal()
    refused(provider, "Vault is sealed", wrapped)
    bao.unseal()
    assert provider.unwrap(wrapped, AAD) == DATA_KEY


def test_token_expires_and_the_file_holds_a_new_one(
    bao: Bao, vault_rig: VaultRig, key: str, tmp_path: Path
) -> None:
    """A token that has expired is refused in words; one that an agent writes counts at once."""
    file = tmp_path / "token"
    old = token_of(bao, key)
    file.write_text(old + "\n")
    provider = vault_rig.provider(key, token="", token_file=file)
    wrapped = provider.wrap(DATA_KEY, AAD)
    bao.client.auth.token.revoke(old)
    refused(provider, "the token has expired or lacks the right", wrapped)
    file.write_text(token_of(bao, key))
    assert provider.unwrap(wrapped, AAD) == DATA_KEY
    file.unlink()
    refused(provider, "SERVICE_KMS_VAULT_TOKEN_FILE cannot be read", wrapped)


def test_least_rights_suffice_and_others_do_not(bao: Bao, vault_rig: VaultRig, key: str) -> None:
    """A token for this key alone wraps with it, and with no other."""
    token = token_of(bao, key)
    vault_rig.provider(key, token=token).wrap(DATA_KEY, AAD)
    refused(vault_rig.provider("second", token=token), "lacks the right to update")


def test_approle_logs_in_again(bao: Bao, vault_rig: VaultRig, key: str) -> None:
    """A role's token that has ended is replaced by a login, in the same call."""
    role = bao.client.auth.approle
    role.create_or_update_approle(key, token_policies=[key], token_ttl="1s", token_max_ttl="1s")
    ids = {
        "role_id": role.read_role_id(key)["data"]["role_id"],
        "secret_id": role.generate_secret_id(key)["data"]["secret_id"],
    }
    provider = vault_rig.provider(key, token="", **ids)
    wrapped = provider.wrap(DATA_KEY, AAD)
    first = provider._client.token  # type: ignore[attr-defined]
    expired = hvac.Client(bao.address, token=first)
    wait_until(lambda: not expired.is_authenticated())
    assert provider.unwrap(wrapped, AAD) == DATA_KEY
    assert provider._client.token != first  # type: ignore[attr-defined]
    wrong = vault_rig.provider(key, token="", **(ids | {"secret_id": "wrong"}))
    refused(wrong, "the AppRole login is refused")


def test_namespace_goes_along(bao: Bao, vault_rig: VaultRig) -> None:
    """A key of a namespace is used there; without the namespace there is no such mount."""
    bao.client.sys.create_namespace("team")
    inside = hvac.Client(bao.address, token=ROOT_TOKEN, namespace="team")
    inside.sys.enable_secrets_engine("transit", path="keys")
    inside.secrets.transit.create_key("first", mount_point="keys")
    provider = vault_rig.provider(namespace="team", mount="keys")
    assert provider.unwrap(provider.wrap(DATA_KEY, AAD), AAD) == DATA_KEY
    refused(vault_rig.provider(mount="keys"), "enable Transit there")


def test_missing_key_is_not_made(bao: Bao, vault_rig: VaultRig, key: str) -> None:
    """With the rights that we ask for, a mistyped name does not become a new key."""
    bao.allow(key, "mistyped")
    with pytest.raises(KeyServiceUnavailable):
        vault_rig.provider("mistyped", token=token_of(bao, key)).wrap(DATA_KEY, AAD)
    assert "mistyped" not in bao.client.secrets.transit.list_keys()["data"]["keys"]


@pytest.mark.parametrize("given", [{}, {"address": "http://x"}, {"token": "t"}])
def test_what_is_missing_is_named(given: dict[str, str]) -> None:
    """Without an address or any way to authenticate the start stops with the names to set."""
    with pytest.raises(StartupError, match=r"VAULT_ADDR|VAULT_TOKEN"):
        VaultTransit(VaultSettings(**{"address": "", "key": "k", **given}))
