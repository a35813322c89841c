"""My sessions: what is shown of them, ending one, ending all."""

import asyncio

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD, Person, code_of, sign_up
from tools.testbed.waiting import wait_until

from service.redis.keys import bucket
from tests.support.keys import session_prefix
from tests.support.looking import session_keys

UNKNOWN = (404, "session_not_found")


async def test_the_list_is_newest_first_and_marks_mine(person: Person) -> None:
    """Each session once, in the order of their opening backwards, `current` on the caller's own."""
    second = await person.log_in()
    third = await person.log_in()
    rows = (await second.sessions()).json()["sessions"]
    assert [row["id"] for row in rows] == [
        third.session_id, second.session_id, person.session_id
    ]  # fmt: skip
    assert [row["current"] for row in rows] == [False, True, False]
    assert rows == sorted(rows, key=lambda row: row["createdAt"], reverse=True)


async def test_the_device_is_shown(http: httpx.AsyncClient) -> None:
    """User agent, cut at 256 characters, and address; a refresh brings them up to date."""
    person = await sign_up(http)
    body = {"email": person.email, "password": PASSWORD}
    agents = {"Mozilla/5.0 (X11; Linux x86_64)": None, "é" * 300: "é" * 256, "": None}
    for agent, shown in agents.items():
        headers = {b"User-Agent": agent.encode("latin-1")}
        answer = await http.post("/auth/login", json=body, headers=headers)
        session = (await person.holding(answer.json()).me()).json()["session"]
        assert session["userAgent"] == (shown or agent or None)
        assert session["ipAddress"] == "127.0.0.1"
    renewed = await http.post(
        "/auth/refresh",
        json={"refreshToken": person.tokens["refreshToken"]},
        headers={"User-Agent": "updated/2"},
    )
    me = (await person.holding(renewed.json()).me()).json()
    assert me["session"]["userAgent"] == "updated/2"


async def test_only_a_trusted_proxy_is_believed(person: Person, strict: Person) -> None:
    """X-Forwarded-For names the client where the peer is a trusted proxy, and nowhere else."""
    headers = {"X-Forwarded-For": "198.51.100.9"}
    for somebody, shown in ((person, "127.0.0.1"), (strict, "198.51.100.9")):
        answer = await somebody.client.post(
            "/auth/refresh",
            json={"refreshToken": somebody.tokens["refreshToken"]},
            headers=headers,
        )
        session = (await somebody.holding(answer.json()).me()).json()["session"]
        assert session["ipAddress"] == shown


async def test_i_can_end_my_own_session_and_others_of_mine(person: Person) -> None:
    """204, dead at once, and 404 when repeated; my own may be the one."""
    other = await person.log_in()
    assert (await person.end(other.session_id)).status_code == 204
    assert (await other.me()).status_code == 401
    assert (await other.refresh()).status_code == 401
    assert code_of(await person.end(other.session_id)) == UNKNOWN
    assert (await person.end(person.session_id)).status_code == 204
    assert (await person.end(person.session_id)).status_code == 401


@pytest.mark.parametrize(
    "malformed", ["x", "0" * 23, "0" * 25, "0" * 24, "G" * 24, "%00", "٠" * 24]
)
async def test_an_unknown_session_id_is_404(person: Person, malformed: str) -> None:
    """Unknown and malformed ids are one answer."""
    assert code_of(await person.end(malformed)) == UNKNOWN


async def test_ids_have_one_spelling(person: Person) -> None:
    """The id in capitals is no id."""
    other = await person.log_in()
    while other.session_id.upper() == other.session_id:
        other = await person.log_in()
    assert code_of(await person.end(other.session_id.upper())) == UNKNOWN
    assert (await other.me()).status_code == 200


async def test_anothers_session_cannot_be_ended(person: Person) -> None:
    """404 as for one that does not exist, and it lives on."""
    victim = await sign_up(person.client)
    assert code_of(await person.end(victim.session_id)) == UNKNOWN
    assert (await victim.me()).status_code == 200


async def test_logging_out_everywhere(person: Person) -> None:
    """All sessions of the caller end, the own one included and counted; nobody else's."""
    neighbour = await sign_up(person.client)
    others = [await person.log_in() for _ in range(3)]
    answer = await person.log_out_everywhere()
    assert (answer.status_code, answer.json()) == (200, {"revoked": 4})
    for session in (person, *others):
        assert (await session.me()).status_code == 401
        assert (await session.refresh()).status_code == 401
    assert (await neighbour.me()).status_code == 200


@pytest.mark.parametrize(("body", "revoked", "mine"), [
    ({"keepCurrent": True}, 2, 200),
    ({"keepCurrent": False}, 3, 401),
])  # fmt: skip
async def test_keeping_the_current_session(
    person: Person, body: dict[str, bool], revoked: int, mine: int
) -> None:
    """`keepCurrent` spares the caller's own, which is then not counted."""
    others = [await person.log_in() for _ in range(2)]
    assert (await person.log_out_everywhere(**body)).json() == {"revoked": revoked}
    assert (await person.me()).status_code == mine
    assert {(await other.me()).status_code for other in others} == {401}


async def test_without_a_body_all_sessions_end(person: Person) -> None:
    """The body of logout/all is optional."""
    answer = await person.client.post("/auth/logout/all", headers=person.bearer)
    assert answer.json() == {"revoked": 1}


async def test_past_the_cap_the_oldest_goes(strict: Person, keys: RedisServer) -> None:
    """Three sessions: a fourth ends the first, also when that was refreshed last."""
    second = await strict.log_in()
    third = await strict.log_in()
    oldest = strict.holding((await strict.refresh()).json())
    fourth = await second.log_in()
    statuses = [(await each.me()).status_code for each in (oldest, second, third, fourth)]
    assert statuses == [401, 200, 200, 200]
    assert (await oldest.refresh()).json()["error"]["code"] == "invalid_refresh_token"
    with keys.client() as client:
        assert client.hlen(bucket(strict.user_id).index + strict.user_id) == 3


async def test_the_index_never_grows_past_the_cap(strict: Person, keys: RedisServer) -> None:
    """Logging in forever, racing too, keeps three sessions and three entries."""
    for _ in range(3):
        await asyncio.gather(*(strict.log_in() for _ in range(8)))
        with keys.client() as client:
            assert client.hlen(bucket(strict.user_id).index + strict.user_id) == 3
            assert len(session_keys(keys)) == 3


async def test_expired_sessions_do_not_count(strict: Person, keys: RedisServer) -> None:
    """An entry whose session Redis has let expire is forgotten before a living session must go."""
    second = await strict.log_in()
    third = await strict.log_in()
    index = bucket(strict.user_id).index + strict.user_id
    with keys.client() as client:
        digest = client.hget(index, bytes.fromhex(third.session_id))
        client.pexpire(session_prefix(strict.user_id) + digest, 1)
        wait_until(lambda: not client.exists(session_prefix(strict.user_id) + digest))
        fourth = await strict.log_in()
        assert client.hlen(index) == 3
    for living in (strict, second, fourth):
        assert (await living.me()).status_code == 200
    assert len((await strict.sessions()).json()["sessions"]) == 3
