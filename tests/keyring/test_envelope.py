"""The envelope: what it opens, and all that it refuses."""

import json
import traceback
from pathlib import Path

import pytest

from service.errors import KeyServiceUnavailable, SealBroken
from service.keyring.envelope import Keyring, epoch_of

VECTORS = json.loads((Path(__file__).parent.parent / "vectors/envelope-v1.json").read_text())
DATA_KEY = b"\x5a" * 32
SECRET = b"JBSWY3DPEHPK3PXP-secret"
USER = bytes(range(16))


@pytest.fixture
def keyring() -> Keyring:
    return Keyring({1: DATA_KEY, 2: b"\xa5" * 32})


@pytest.fixture
def blob(keyring: Keyring) -> bytes:
    return keyring.seal(SECRET, purpose="totp", bound_to=USER)


def refused(keyring: Keyring, blob: bytes, purpose: str = "totp", bound_to: bytes = USER) -> bool:
    try:
        keyring.open(blob, purpose=purpose, bound_to=bound_to)
    except SealBroken as error:
        return error.args == SealBroken().args
    return False


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["about"])
def test_vectors(vector: dict[str, str]) -> None:
    """Format 1 is what it was: kept blobs open, and the same nonce gives the same bytes."""
    keyring = Keyring({int(vector["epoch"]): bytes.fromhex(vector["data_key"])})
    nonce, plaintext, bound_to, blob = (
        bytes.fromhex(vector[name]) for name in ("nonce", "plaintext", "bound_to", "blob")
    )
    assert keyring.open(blob, purpose=vector["purpose"], bound_to=bound_to) == plaintext
    assert keyring._seal(plaintext, vector["purpose"], bound_to, nonce) == blob


def test_opens_what_it_sealed(keyring: Keyring, blob: bytes) -> None:
    """A round trip gives the text back, and no two blobs are alike."""
    again = keyring.seal(SECRET, purpose="totp", bound_to=USER)
    assert again != blob
    assert keyring.open(blob, purpose="totp", bound_to=USER) == SECRET
    assert keyring.open(again, purpose="totp", bound_to=USER) == SECRET


def test_newest_epoch_seals_and_older_ones_open(keyring: Keyring, blob: bytes) -> None:
    """After a rotation, what the older data key sealed is still readable."""
    older = Keyring({1: DATA_KEY}).seal(SECRET, purpose="totp", bound_to=USER)
    assert int.from_bytes(blob[1:5], "big") == keyring.current_epoch == 2
    assert keyring.open(older, purpose="totp", bound_to=USER) == SECRET


def test_every_flipped_bit_is_refused(keyring: Keyring, blob: bytes) -> None:
    """No bit of a blob is left uncovered: version, epoch, nonce, text or tag."""
    for bit in range(len(blob) * 8):
        forged = bytearray(blob)
        forged[bit // 8] ^= 1 << bit % 8
        assert refused(keyring, bytes(forged)), bit


def test_every_other_length_is_refused(keyring: Keyring, blob: bytes) -> None:
    """A blob that is cut anywhere, or has anything added, does not open."""
    assert all(refused(keyring, blob[:length]) for length in range(len(blob)))
    assert refused(keyring, blob + b"\x00")


@pytest.mark.parametrize(
    ("purpose", "bound_to"),
    [
        ("signing", USER),
        ("totp", USER[::-1]),
        ("totp", b""),
        ("totp", USER + b"\x00"),
        ("tot", b"p" + USER),
        ("totp" + USER.decode()[:1], USER[1:]),
    ],
)
def test_moved_blob_is_refused(
    keyring: Keyring, blob: bytes, purpose: str, bound_to: bytes
) -> None:
    """A blob opens for its own purpose and record only, however the two are cut together."""
    assert refused(keyring, blob, purpose, bound_to)


def test_blob_relabelled_to_another_epoch_is_refused(keyring: Keyring) -> None:
    """The tag covers the epoch, even where two epochs were given one key by mistake."""
    twins = Keyring({1: DATA_KEY, 2: DATA_KEY})
    blob = twins.seal(SECRET, purpose="totp", bound_to=USER)
    assert refused(twins, blob[:4] + b"\x01" + blob[5:])


def test_unknown_epoch_and_version_are_refused(keyring: Keyring, blob: bytes) -> None:
    """What a later version or an absent data key sealed is refused like any forgery."""
    for epoch in (0, 3, 2**32 - 1):
        assert refused(keyring, blob[:1] + epoch.to_bytes(4, "big") + blob[5:])
    assert all(
        refused(keyring, bytes([version]) + blob[1:]) for version in range(256) if version != 1
    )


def test_blob_of_another_service_is_refused(blob: bytes) -> None:
    """The right epoch number with another data key opens nothing."""
    assert refused(Keyring({2: DATA_KEY}), blob)


def test_nothing_shows_a_secret(keyring: Keyring, blob: bytes) -> None:
    """Neither the repr nor an error with its whole traceback says a key, the text or the cause."""
    with pytest.raises(SealBroken) as caught:
        keyring.open(blob[:-1] + bytes([blob[-1] ^ 1]), purpose="totp", bound_to=USER)
    told = repr(keyring) + "".join(traceback.format_exception(caught.value))
    assert "InvalidTag" not in told
    for secret in (SECRET, DATA_KEY, USER, blob):
        assert secret.hex() not in told
        assert repr(secret)[2:-1] not in told


@pytest.mark.parametrize(
    "data_keys", [{}, {1: b"short"}, {1: b"\x00" * 33}, {0: DATA_KEY}, {2**32: DATA_KEY}]
)
def test_unfit_data_keys(data_keys: dict[int, bytes]) -> None:
    """A keyring is never made of keys or epochs that the format cannot carry."""
    with pytest.raises(ValueError, match=r"^(a keyring needs|an epoch is)"):
        Keyring(data_keys)


def test_purpose_needs_a_name(keyring: Keyring) -> None:
    """An empty purpose is a mistake of the caller, not a purpose of its own."""
    with pytest.raises(ValueError, match="a purpose has a name"):
        keyring.seal(SECRET, purpose="", bound_to=USER)


def test_a_closed_keyring_says_that_the_key_service_is_away(blob: bytes) -> None:
    """While no key is open, a good blob is not called broken: neither to seal nor to open."""
    closed = Keyring.closed()
    asked: list[int] = []
    closed.on_unknown_epoch = lambda: asked.append(1)
    with pytest.raises(KeyServiceUnavailable):
        closed.open(blob, purpose="totp", bound_to=USER)
    with pytest.raises(KeyServiceUnavailable):
        closed.seal(SECRET, purpose="totp", bound_to=USER)
    assert asked == []
    assert refused(closed, b"junk")


def test_the_epoch_of_another_version_is_not_read(blob: bytes) -> None:
    """What lies behind another version byte is not ours to tell; nor is what is too short."""
    assert epoch_of(blob) == 2
    for other in (b"\x00" + blob[1:], b"\x02" + blob[1:], b"\xff" + blob[1:], blob[:32], b""):
        with pytest.raises(SealBroken):
            epoch_of(other)


def test_the_epoch_of_the_shortest_blob(keyring: Keyring) -> None:
    """Nothing sealed is still a blob, and names its epoch."""
    assert epoch_of(keyring.seal(b"", purpose="totp", bound_to=USER)) == 2


def test_an_unknown_epoch_is_asked_for(keyring: Keyring) -> None:
    """Another process may have made it: whoever watches the keys is told, each time."""
    asked: list[int] = []
    keyring.on_unknown_epoch = lambda: asked.append(1)
    later = Keyring({3: DATA_KEY}).seal(SECRET, purpose="totp", bound_to=USER)
    assert refused(keyring, later)
    assert asked == [1]


def test_a_data_key_of_the_same_epoch_replaces_the_other(keyring: Keyring, blob: bytes) -> None:
    """What was derived from the one before is forgotten with it, and nothing else is."""
    older = Keyring({1: DATA_KEY}).seal(SECRET, purpose="totp", bound_to=USER)
    assert not refused(keyring, blob)
    assert not refused(keyring, older)
    derived = keyring._subkeys[1, "totp"]
    other = Keyring({1: DATA_KEY, 2: b"\x77" * 32})
    keyring.adopt(other)
    assert refused(keyring, blob)
    assert not refused(keyring, other.seal(SECRET, purpose="totp", bound_to=USER))
    assert not refused(other, keyring.seal(SECRET, purpose="totp", bound_to=USER))
    assert keyring._subkeys[1, "totp"] is derived
