"""The key store: one set of keys per database, whoever starts first, the same after a restart."""

import asyncio
import base64
import signal
import threading
from typing import Any

import jwt
import pytest
from sqlalchemy import insert, update

from service.clock import milliseconds, system_clock
from service.database.engine import open_database
from service.database.tables import sealed_keys
from service.errors import StartupError
from service.keyring import signing
from service.keyring.keys import ServiceKeys
from service.keyring.kms.local import LocalKeyFile
from service.keyring.store import KeyStore
from tests.support.user_stores import PATIENCE

USES = ["email-digest", "pepper", "refresh-mac", "signing"]

# Starts on a data dir as soon as all of its kind are ready; prints a token and a sealed text.
START = """
import asyncio, os, signal, sys
from datetime import timedelta
from pathlib import Path
import jwt
from service.clock import milliseconds, system_clock
from service.database.engine import open_database
from service.keyring import store
from service.keyring.kms import local

async def main():
    engine = open_database(sys.argv[2], patience=timedelta(seconds=20))
    provider = local.LocalKeyFile.at(Path(sys.argv[1]), None)
    print("ready", flush=True)
    sys.stdin.readline()
    keys = await store.KeyStore(engine).load(provider, system_clock)
    key = keys.signing.active
    print(jwt.encode({}, key.private_key, "ES256", {"kid": key.kid}))
    print(keys.keyring.seal(b"text", purpose="test", bound_to=b"x").hex())
    await engine.dispose()

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
"""
RUN = "\nasyncio.run(main())\n"


def comparable(keys: ServiceKeys) -> tuple[Any, ...]:
    """All of a set of keys that can be compared."""
    return (
        keys.keyring._data_keys,
        keys.signing.jwks(),
        keys.signing.active.private_key.private_numbers(),
        (keys.refresh_mac_keys, keys.refresh_mac_current),
        (keys.peppers, keys.pepper_current),
        keys.email_digest_key,
    )


async def test_first_start_makes_every_key(data_dir: Any, secrets_of: Any) -> None:
    """An empty database gets one data key and one key for each use, all different."""
    keys = await data_dir.start()
    wrapped, sealed, _ = await data_dir.rows()
    assert [row.epoch for row in wrapped] == [1]
    assert sorted((row.use, row.id) for row in sealed) == [(use, "1") for use in USES]
    assert keys.refresh_mac_current == keys.pepper_current == 1
    assert len(set(secrets_of(keys))) == 6
    symmetric = (keys.refresh_mac_keys[1], keys.peppers[1], keys.email_digest_key)
    assert [len(key) for key in symmetric] == [32, 32, 32]


async def test_keys_survive_a_restart(data_dir: Any) -> None:
    """A later process has the very same keys, opens what was sealed, and writes nothing."""
    before = await data_dir.start()
    rows = await data_dir.rows()
    blob = before.keyring.seal(b"text", purpose="test", bound_to=b"x")
    await data_dir.engine.dispose()
    after = await data_dir.start()
    assert comparable(after) == comparable(before)
    assert after.keyring.open(blob, purpose="test", bound_to=b"x") == b"text"
    assert await data_dir.rows() == rows


async def test_racing_first_starts_found_once(data_dir: Any) -> None:
    """Four starts that all saw an empty database end with one and the same set of keys."""
    everyone_saw_it_empty = threading.Barrier(4, timeout=20)

    class Racing(LocalKeyFile):
        def wrap(self, data_key: bytes, aad: bytes) -> bytes:
            everyone_saw_it_empty.wait()
            return super().wrap(data_key, aad)

    engines = [open_database(data_dir.url, patience=PATIENCE) for _ in range(4)]
    path = data_dir.provider.path
    loads = (KeyStore(each).load(Racing(path, create=True), system_clock) for each in engines)
    first, *others = await asyncio.gather(*loads)
    assert all(comparable(keys) == comparable(first) for keys in others)
    wrapped, sealed, _ = await data_dir.rows()
    assert (len(wrapped), len(sealed)) == (1, len(USES))
    for engine in engines:
        await engine.dispose()


async def test_processes_that_start_at_once_agree(data_dir: Any, race: Any) -> None:
    """Real processes race on a new data dir; each verifies and opens what the others made."""
    printed = race(3, START + RUN, data_dir.path, data_dir.url)
    assert "".join(printed).count("keys made") == 1
    keys = await data_dir.start()
    for token, blob in [lines.split()[-2:] for lines in printed]:
        public = keys.signing.public(jwt.get_unverified_header(token)["kid"])
        assert public is not None
        assert jwt.decode(token, public, ["ES256"]) == {}
        assert keys.keyring.open(bytes.fromhex(blob), purpose="test", bound_to=b"x") == b"text"
    wrapped, sealed, _ = await data_dir.rows()
    assert (len(wrapped), len(sealed)) == (1, len(USES))


async def test_racing_first_starts_with_files_of_their_own(data_dir: Any) -> None:
    """Of machines that each make a key file one has its way; the others stop, and stay stopped."""
    machines = [type(data_dir)(data_dir.path / name, data_dir.store) for name in "abcd"]
    outcomes = await asyncio.gather(
        *(machine.start() for machine in machines), return_exceptions=True
    )
    [winner] = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, ServiceKeys)]
    before = await data_dir.rows()
    for number, machine in enumerate(machines):
        if number == winner:
            assert comparable(await machine.start()) == comparable(outcomes[winner])
        else:
            assert isinstance(outcomes[number], StartupError)
            with pytest.raises(StartupError, match="data keys"):
                await machine.start()
        await machine.engine.dispose()
    assert await data_dir.rows() == before


@pytest.mark.parametrize("step", ["local._ensure", "store.Keyring", "store._refuse_leftovers"])
async def test_killed_first_start_is_made_good(data_dir: Any, race: Any, step: str) -> None:
    """SIGKILL before the key file, before the rows, or between them: the next start is a first."""
    race(1, START + f"\n{step} = die" + RUN, data_dir.path, data_dir.url, ends=-signal.SIGKILL)
    assert await data_dir.rows() == [[], [], []]
    await data_dir.start()


async def test_newest_of_several_is_current(data_dir: Any) -> None:
    """With several keys of a use, all are loaded and the highest number is used: 10, not 9."""
    keys = await data_dir.start()
    ninth, tenth = signing.mint(), signing.mint()
    added = [
        ("refresh-mac", "10", b"m" * 32),
        ("refresh-mac", "9", b"n" * 32),
        ("pepper", "10", b"p" * 32),
        ("pepper", "9", b"q" * 32),
        ("signing", "10", signing.to_der(tenth)),
        ("signing", "9", signing.to_der(ninth)),
    ]
    now = milliseconds(system_clock())  # once, as a later key is newer whatever its number is
    rows = [
        {
            "use": use,
            "id": key_id,
            "sealed": keys.keyring.seal(secret, purpose=use, bound_to=key_id.encode()),
            "created_at": 0,
            "active_from": now,
        }
        for use, key_id, secret in added
    ]
    unknown = {
        "use": "of a later version",
        "id": "x",
        "sealed": b"",
        "created_at": 0,
        "active_from": 0,
    }
    await data_dir.change(insert(sealed_keys).values([*rows, unknown]))
    after = await data_dir.start()
    assert (after.refresh_mac_current, after.pepper_current) == (10, 10)
    assert after.refresh_mac_keys == keys.refresh_mac_keys | {9: b"n" * 32, 10: b"m" * 32}
    assert after.peppers == keys.peppers | {9: b"q" * 32, 10: b"p" * 32}
    assert after.signing.active.kid == signing.thumbprint(tenth.public_key())
    assert after.signing.public(signing.thumbprint(ninth.public_key())) is not None
    assert after.signing.public(keys.signing.active.kid) is not None


async def test_no_key_in_clear_on_disk(data_dir: Any, secrets_of: Any) -> None:
    """No file of the database holds a key as bytes, hex or base64; the sealed ones are there."""
    keys = await data_dir.start()
    disk = data_dir.store.bytes_on_disk()
    wrapped, sealed, _ = await data_dir.rows()
    assert all(row.sealed in disk for row in sealed)
    assert all(row.wrapped in disk for row in wrapped)
    for secret in secrets_of(keys):
        for written in (secret, secret.hex().encode(), base64.b64encode(secret)[:40]):
            assert written not in disk


async def test_public_keys_are_filled_in(data_dir: Any) -> None:
    """A database of before version 0003 gets its public keys in clear at the next start."""
    keys = await data_dir.start()
    await data_dir.change(update(sealed_keys).values(public=None))
    await data_dir.start()
    publics = [row.public for row in (await data_dir.rows())[1] if row.use == "signing"]
    assert [signing.thumbprint(signing.public_from_der(each)) for each in publics] == [
        keys.signing.active.kid
    ]


async def test_replaced_public_key_is_noticed(data_dir: Any) -> None:
    """A public key put into the table by somebody else stops the start."""
    await data_dir.start()
    foreign = signing.public_to_der(signing.mint().public_key())
    of_signing = sealed_keys.c.use == "signing"
    await data_dir.change(update(sealed_keys).where(of_signing).values(public=foreign))
    with pytest.raises(StartupError, match="somebody has changed it"):
        await data_dir.start()
