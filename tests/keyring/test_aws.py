"""What is AWS' own: aliases, several keys, the encryption context, and its many refusals."""

import pytest

from service.errors import KeyServiceUnavailable, SealBroken, StartupError
from service.keyring.kms.aws import AwsKms as AwsProvider
from tests.keyring.rigs import AwsRig
from tests.support.aws_kms import AwsKms

DATA_KEY = bytes(range(32))
AAD = b"openshow-auth data key, epoch 1"


def test_context_and_key_are_always_named(aws_kms: AwsKms, aws_rig: AwsRig) -> None:
    """Both calls carry the epoch as encryption context, and the key, so that no other answers."""
    aws_kms.asked.clear()
    provider = aws_rig.provider()
    provider.unwrap(provider.wrap(DATA_KEY, AAD), AAD)
    assert len(aws_kms.asked) == 2
    for body in aws_kms.asked:
        assert body["KeyId"] == "alias/first"
        assert body["EncryptionContext"] == {"openshow-auth": AAD.decode()}


def test_first_key_wraps_and_all_unwrap(aws_rig: AwsRig) -> None:
    """With a new key in front, new wrappings are its own and the old ones still open."""
    old = aws_rig.provider().wrap(DATA_KEY, AAD)
    provider = aws_rig.provider("alias/second", "alias/first")
    assert provider.unwrap(old, AAD) == DATA_KEY
    new = provider.wrap(DATA_KEY, AAD)
    assert aws_rig.another().unwrap(new, AAD) == DATA_KEY
    with pytest.raises(SealBroken):
        aws_rig.provider().unwrap(new, AAD)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("DisabledException", "it is disabled: enable it"),
        ("KMSInvalidStateException", "cancel its deletion"),
        ("AccessDeniedException", "allow kms:Encrypt and kms:Decrypt"),
        ("ExpiredTokenException", "the credentials have expired"),
        ("KeyUnavailableException", "KMS answers KeyUnavailableException"),
    ],
)
def test_refusals_say_what_to_do(aws_kms: AwsKms, aws_rig: AwsRig, code: str, says: str) -> None:
    """Each refusal is told with the key and the remedy, and may pass."""
    provider = aws_rig.provider()
    aws_kms.refusal = code
    try:
        with pytest.raises(KeyServiceUnavailable, match=says) as caught:
            provider.wrap(DATA_KEY, AAD)
    finally:
        aws_kms.refusal = ""
    assert "alias/first" in str(caught.value)


def test_missing_key(aws_rig: AwsRig) -> None:
    """A key that is not there is told by its name."""
    with pytest.raises(KeyServiceUnavailable, match=r"alias/nothing.*no such key"):
        aws_rig.provider("alias/nothing").wrap(DATA_KEY, AAD)


def test_what_is_missing_is_named(aws_rig: AwsRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, no region, no credentials: each is named."""
    with pytest.raises(StartupError, match="SERVICE_KMS_AWS_KEY"):
        AwsProvider([])
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    with pytest.raises(KeyServiceUnavailable, match="no AWS credentials"):
        aws_rig.provider().wrap(DATA_KEY, AAD)
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(StartupError, match="AWS_REGION"):
        aws_rig.provider()
