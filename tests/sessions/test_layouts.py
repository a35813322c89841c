"""What another version has stored: neither theft nor a defect. 503, and all stays as it is."""

import ipaddress
from collections.abc import Awaitable, Callable

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import Person, code_of

from service.redis.keys import bucket
from tests.support.keys import handoff_prefix, session_prefix
from tests.support.looking import is_mark

pytestmark = pytest.mark.one_server("what is stored reads the same on any")

UNAVAILABLE = (503, "service_unavailable")


def everything(server: RedisServer) -> dict[bytes, bytes | None]:
    """All keys and what they hold, but for the marks, which a service that runs writes again."""
    with server.client() as client:
        keys = [key for key in client.scan_iter(count=1000) if not is_mark(key)]
        return {key: client.dump(key) for key in keys}


def record_key(server: RedisServer, person: Person) -> bytes:
    with server.client() as client:
        index = bucket(person.user_id).index + person.user_id
        digest = client.hget(index, bytes.fromhex(person.session_id))
    return session_prefix(person.user_id) + digest


def change(server: RedisServer, key: bytes, to: Callable[[bytes], bytes]) -> None:
    with server.client() as client:
        client.set(key, to(client.get(key)), keepttl=True)


OTHER_RECORDS: list[Callable[[bytes], bytes]] = [
    lambda record: b"\x03" + record[1:],
    lambda record: b"\x02" + record[1:22],
    lambda record: b"\x02" + record[1:22] + bytes(13),
    lambda record: b"\x02" + record[1:22] + bytes(13) + b"\x04",
    lambda record: b"\x02" + record[1:22] + b"\xff" * 13 + record[22:],
    lambda record: b"\x00" + record[1:],
    lambda record: b"\xff",
    lambda record: b"",
    lambda record: record[:22],
    lambda record: b"\x02" + record[1:10],
    lambda record: b"\x03" + record + b"more of it",
    lambda record: record[:1],
    lambda record: record[:21],
    lambda record: record[:23],  # the address is missing
    lambda record: record[:26],  # or cut
    lambda record: record[:22] + b"\x05" + record[23:],
    lambda record: record[:22] + b"\x10" + record[23:27],
    lambda record: record[:22] + b"\xff" + record[23:],
]


@pytest.mark.parametrize("to", OTHER_RECORDS)
async def test_a_session_record(
    person: Person, keys: RedisServer, to: Callable[[bytes], bytes]
) -> None:
    """Refresh by the present and by a spent token, `me`, the list: none takes it for theft."""
    fresh = person.holding((await person.refresh()).json())
    with keys.client() as client:
        client.delete(handoff_prefix(person.user_id) + bytes.fromhex(person.session_id))
    change(keys, record_key(keys, fresh), to)
    before = everything(keys)
    calls: list[Callable[[], Awaitable[httpx.Response]]] = [
        fresh.refresh, person.refresh, fresh.me, fresh.sessions,
    ]  # fmt: skip
    for call in calls:
        answer = await call()
        assert code_of(answer) == UNAVAILABLE, call
        assert answer.headers["retry-after"]
    assert everything(keys) == before
    other = await person.log_in()
    assert (await other.me()).status_code == 200
    assert (await fresh.log_out()).status_code == 204, "ending reads nothing of it"


def rotated_before(address: str) -> Callable[[bytes], bytes]:
    """What a version that looks at no layout makes of a record of layout 2, asked from there."""
    packed = ipaddress.ip_address(address).packed
    return lambda record: b"\2" + record[1:22] + bytes((len(packed),)) + packed


async def test_a_session_that_a_version_from_before_has_rotated(
    person: Person, keys: RedisServer
) -> None:
    """It is over, whatever is asked first, also where its record could be one of ours; guards hear
    of it. The other sessions go on."""
    calls: list[tuple[Callable[[Person], Awaitable[httpx.Response]], str]] = [
        (Person.refresh, "invalid_refresh_token"), (Person.me, "unauthorized"),
        (Person.sessions, "unauthorized"),
    ]  # fmt: skip
    for call, code in calls:
        for address in ("192.0.2.7", "2001:db8:1::1"):
            other = await person.log_in()
            key = record_key(keys, other)
            change(keys, key, rotated_before(address))
            assert code_of(await call(other)) == (401, code), (call, address)
            with keys.client() as client:
                assert not client.exists(key)
                entry = client.xrevrange(bucket(person.user_id).revoked, count=1)[0][1]
            assert entry[b"k"] == bytes.fromhex(person.session_id), "who stays"
            assert code_of(await other.me()) == (401, "unauthorized")
            assert len((await person.sessions()).json()["sessions"]) == 1
    assert (await person.refresh()).status_code == 200


@pytest.mark.parametrize(
    "to", [lambda record: record[:-1], lambda record: record + b"more", lambda record: record[:27]]
)
async def test_a_user_agent_that_does_not_unpack(
    person: Person, keys: RedisServer, to: Callable[[bytes], bytes]
) -> None:
    """Nothing depends on it, and the scripts cannot read it: for all alike it is none."""
    change(keys, record_key(keys, person), to)
    assert (await person.me()).json()["session"]["userAgent"] is None
    assert (await person.sessions()).json()["sessions"][0]["userAgent"] is None
    fresh = person.holding((await person.refresh()).json())
    assert (await fresh.me()).json()["session"]["userAgent"]


@pytest.mark.parametrize(
    "to",
    [
        lambda stored: b"\x02" + stored,
        lambda stored: b"\x02" + stored[1:],
        lambda stored: stored + b"more",
        lambda stored: stored[:-1],
        lambda stored: b"\x02",
    ],
)
async def test_a_handoff(person: Person, keys: RedisServer, to: Callable[[bytes], bytes]) -> None:
    """Within the grace nobody can say that the spent token is late."""
    fresh = person.holding((await person.refresh()).json())
    handoff = handoff_prefix(person.user_id) + bytes.fromhex(person.session_id)
    change(keys, handoff, to)
    before = everything(keys)
    assert code_of(await person.refresh()) == UNAVAILABLE
    assert everything(keys) == before
    assert (await fresh.me()).status_code == 200
    assert (await fresh.refresh()).status_code == 200


@pytest.mark.parametrize("version", [b"2;5", b"v2", b"", b"?", b"?1 2", b"-1"])
async def test_the_version_in_an_index(person: Person, keys: RedisServer, version: bytes) -> None:
    """Whoever has to know the account's version cannot; whoever has not, goes on."""
    with keys.client() as client:
        client.hset(bucket(person.user_id).index + person.user_id, "v", version)
    before = everything(keys)
    login = {"email": person.email, "password": "correct horse battery"}
    if not version.startswith(b"?"):
        assert code_of(await person.me()) == UNAVAILABLE
    assert code_of(await person.client.post("/auth/login", json=login)) == UNAVAILABLE
    assert {name: value for name, value in everything(keys).items() if b"attempts" not in name} == (
        before
    )
    assert (await person.refresh()).status_code == 200


async def test_a_key_of_another_kind(person: Person, keys: RedisServer) -> None:
    """An index that is no hash any more, a record that is no string."""
    index = bucket(person.user_id).index + person.user_id
    record = record_key(keys, person)
    with keys.client() as client:
        kept, life = client.dump(record), client.pttl(record)
        client.delete(record)
        client.rpush(record, "a list")
        client.pexpire(record, life)
        before = everything(keys)
        for call in (person.refresh, person.me, person.sessions):
            assert code_of(await call()) == UNAVAILABLE
        assert everything(keys) == before
        client.restore(record, life, kept, replace=True)
        assert (await person.me()).status_code == 200
        client.delete(index)
        client.set(index, "a string", px=life)
        before = everything(keys)
        for call in (person.refresh, person.me, person.sessions, person.log_out):
            assert code_of(await call()) == UNAVAILABLE
        assert everything(keys) == before


async def test_fields_of_an_index_that_are_no_sessions(person: Person, keys: RedisServer) -> None:
    """They neither count nor expire nor end with the sessions."""
    index = bucket(person.user_id).index + person.user_id
    with keys.client() as client:
        client.hset(index, mapping={"w": "x", "longer than an id": "y"})
        assert len((await person.sessions()).json()["sessions"]) == 1
        assert (await person.log_out_everywhere(keepCurrent=True)).json() == {"revoked": 0}
        assert client.hget(index, "w") == b"x"
        assert client.hget(index, "longer than an id") == b"y"


async def test_a_login_at_the_limit_beside_it(strict: Person, keys: RedisServer) -> None:
    """Which of the sessions is the oldest cannot be said: none goes."""
    sessions = [strict, await strict.log_in(), await strict.log_in()]
    change(keys, record_key(keys, sessions[1]), OTHER_RECORDS[0])
    before = everything(keys)
    login = {"email": strict.email, "password": "correct horse battery"}
    assert code_of(await strict.client.post("/auth/login", json=login)) == UNAVAILABLE
    after = {name: value for name, value in everything(keys).items() if b"attempts" not in name}
    assert after == before
    assert (await sessions[0].me()).status_code == 200
    assert (await sessions[1].log_out()).status_code == 204
    assert (await strict.log_in()).tokens
