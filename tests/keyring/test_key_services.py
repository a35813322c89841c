"""What every key service must do, proven on a real one of each kind."""

import os
import traceback
from datetime import timedelta

import pytest
from botocore.config import Config

from service.errors import KeyServiceUnavailable, SealBroken
from service.keyring.kms import aws, vault
from service.keyring.kms.provider import FORMATS, WithDeadline
from tests.keyring.rigs import Rig

DATA_KEY = bytes(range(32))
AAD = b"openshow-auth data key, epoch 1"


def test_round_trip(rig: Rig) -> None:
    """Another process' provider unwraps what one has wrapped, and no two wrappings are alike."""
    wrapped = rig.provider().wrap(DATA_KEY, AAD)
    again = rig.provider().wrap(DATA_KEY, AAD)
    assert wrapped != again
    assert FORMATS[wrapped[:1]] == FORMATS[again[:1]] == rig.name
    provider = rig.provider()
    assert [provider.unwrap(each, AAD) for each in (wrapped, again)] == [DATA_KEY] * 2
    assert DATA_KEY not in wrapped


def test_only_data_keys_are_wrapped(rig: Rig) -> None:
    """Anything but 32 bytes is a mistake of the caller, and is not sent anywhere."""
    for size in (0, 31, 33):
        with pytest.raises(ValueError, match="a data key has 32 bytes"):
            rig.provider().wrap(bytes(size), AAD)


@pytest.mark.parametrize("aad", [b"", AAD[:-1], AAD + b"0", AAD[:-1] + b"2"])
def test_wrong_aad(rig: Rig, aad: bytes) -> None:
    """A wrapped key counts for the epoch that it was wrapped for, and no other."""
    wrapped = rig.provider().wrap(DATA_KEY, AAD)
    with pytest.raises(SealBroken):
        rig.provider().unwrap(wrapped, aad)


def test_tampered(rig: Rig) -> None:
    """A flipped bit anywhere, and a blob that is cut or longer, do not open."""
    provider = rig.provider()
    wrapped = provider.wrap(DATA_KEY, AAD)
    for position in {0, 1, 2, len(wrapped) // 2, len(wrapped) - 12, len(wrapped) - 3}:
        forged = bytearray(wrapped)
        forged[position] ^= 1
        with pytest.raises(SealBroken):
            provider.unwrap(bytes(forged), AAD)
    for cut in (b"", wrapped[:1], wrapped[:20], wrapped[:-1], wrapped + b"A", os.urandom(65)):
        with pytest.raises(SealBroken):
            provider.unwrap(cut, AAD)
    assert provider.unwrap(wrapped, AAD) == DATA_KEY


def test_wrong_key(rig: Rig) -> None:
    """What one key has wrapped, another does not unwrap."""
    wrapped = rig.provider().wrap(DATA_KEY, AAD)
    with pytest.raises(SealBroken):
        rig.another().unwrap(wrapped, AAD)


def test_disabled_key(rig: Rig) -> None:
    """A key that may not be used is told apart from a broken seal, and works again afterwards."""
    wrapped = rig.provider().wrap(DATA_KEY, AAD)
    with rig.disabled():
        for attempt in (
            lambda: rig.provider().wrap(DATA_KEY, AAD),
            lambda: rig.provider().unwrap(wrapped, AAD),
        ):
            with pytest.raises(rig.refuses) as caught:
                attempt()
            assert len(str(caught.value).splitlines()) == 1
    assert rig.provider().unwrap(wrapped, AAD) == DATA_KEY


def test_slow_and_dead_peers(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that never answers, and one that is gone, are 'unavailable' within the deadline."""
    monkeypatch.setattr(vault, "_PATIENCE", (0.2, 0.2))
    quick = Config(connect_timeout=0.2, read_timeout=0.2, retries={"total_max_attempts": 1})
    monkeypatch.setattr(aws, "_PATIENCE", quick)
    for provider in rig.unreachable():
        # Its own deadline ends the call, in its own words, before the one around all of them does.
        with pytest.raises(KeyServiceUnavailable, match="cannot be reached"):
            WithDeadline(provider, timedelta(seconds=4)).wrap(DATA_KEY, AAD)


def test_nothing_shows_a_secret(rig: Rig) -> None:
    """Names and errors, with their tracebacks, show neither the data key nor a credential."""
    wrapped = rig.provider().wrap(DATA_KEY, AAD)
    told = repr(rig.provider()) + str(rig.provider())
    with rig.disabled(), pytest.raises(rig.refuses) as caught:
        rig.provider().wrap(DATA_KEY, AAD)
    told += "".join(traceback.format_exception(caught.value))
    with pytest.raises(SealBroken) as broken:
        rig.provider().unwrap(wrapped, b"other")
    told += "".join(traceback.format_exception(broken.value))
    for secret in (repr(DATA_KEY)[2:-1], DATA_KEY.hex(), "AAECAwQFBgcICQ", "'root'", "'1234'"):
        assert secret not in told
