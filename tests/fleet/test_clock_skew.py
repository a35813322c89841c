"""Three pods on one Redis, one 30 s behind, one right, one 30 s ahead. Redis' clock is right.

What Redis decides by time is the same whatever pod is asked. What a pod decides by its own clock,
the life of access tokens and which TOTP codes are near enough, is off by the skew and no more.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import (
    PASSWORD,
    PATIENT,
    Person,
    ServiceProcess,
    claims_of,
    code_of,
    sign_up,
)
from tools.testbed.waiting import wait_until

from tests.support.faketime import shifted
from tests.support.living import living
from tests.support.run_queue import Stopwatch
from tests.support.two_factor import Holder, new_holder

SKEWS = (-30, 0, 30)

pytestmark = pytest.mark.parametrize("redis_server", ["valkey"], indirect=True)

Pods = list[httpx.AsyncClient]


@pytest.fixture(scope="session")
def shared_pods(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[ServiceProcess]]:
    """Service processes with these skews, on the same stores."""
    started: list[ServiceProcess] = []
    data = str(tmp_path_factory.mktemp("data") / "var")
    for skew in SKEWS:
        clock = shifted(skew) if skew else {}
        settings = {"SERVICE_DATA_DIR": data, "SERVICE_RATE_LIMIT": "on", **clock}
        directory = tmp_path_factory.mktemp("pod")
        started.append(ServiceProcess(directory, redis_server.url, **settings, **PATIENT).start())
    with living("shared_pods", *started):
        yield started
    for service in started:
        assert service.stop() == 0


@pytest.fixture
async def pods(shared_pods: list[ServiceProcess], keys: RedisServer) -> AsyncIterator[Pods]:
    """A client of each; that their clocks are as wrong as they are to be is looked up first."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(httpx.AsyncClient(base_url=service.url, timeout=30))
            for service in shared_pods
        ]
        for client, skew in zip(clients, SKEWS, strict=True):
            since = Stopwatch()
            assert abs(await clock_of(client) - time.time() - skew) < 5 + since.all
        yield clients


async def clock_of(pod: httpx.AsyncClient) -> float:
    """What time the pod thinks it is, seconds since 1970."""
    answer = await pod.get("/health/live")
    return parsedate_to_datetime(answer.headers["date"]).timestamp()


def at(person: Person, pod: httpx.AsyncClient) -> Person:
    """The same person, who asks this pod."""
    return Person(pod, person.email, person.tokens)


def only_key(keys: RedisServer, kind: str) -> bytes:
    with keys.client() as client:
        (key,) = (key for key in client.scan_iter(f"{kind}:*") if not key.endswith(b":row"))
        return bytes(key)


def deadline(keys: RedisServer, kind: str) -> int:
    """When Redis drops the one key of this kind, in milliseconds since 1970."""
    with keys.client() as client:
        return int(client.pexpiretime(only_key(keys, kind)))


def expire_in(keys: RedisServer, kind: str, ms: int) -> None:
    """Let Redis drop it then. The smallest time is over when this returns."""
    with keys.client() as client:
        key = only_key(keys, kind)
        client.pexpire(key, ms)
        if ms == 1:
            wait_until(lambda: not client.exists(key))


def ms(shown: str) -> int:
    """Milliseconds since 1970 of a time in an answer."""
    return round(datetime.fromisoformat(shown).timestamp() * 1000)


def early_in_a_step() -> None:
    """Return when the present TOTP step lasts for another ten seconds."""
    wait_until(lambda: 1 < time.time() % 30 < 20)


async def test_a_chain_of_refreshes_wanders_over_all(pods: Pods) -> None:
    """No rotation looks like theft; the session lives everywhere until it is ended anywhere."""
    for last in pods:
        person = await sign_up(pods[-1])
        for number in range(15):
            answer = await at(person, pods[number % 3]).refresh()
            assert answer.status_code == 200, answer.text
            person = person.holding(answer.json())
        assert [(await at(person, pod).me()).status_code for pod in pods] == [200] * 3
        assert (await at(person, last).log_out()).status_code == 204
        assert [(await at(person, pod).me()).status_code for pod in pods] == [401] * 3


async def test_the_grace_is_counted_by_redis(pods: Pods, keys: RedisServer) -> None:
    """Within it every pod hands out the one successor, after it every pod calls it theft."""
    for rotating in pods:
        for late in pods:
            person = await sign_up(rotating)
            successor = (await person.refresh()).json()["refreshToken"]
            again = [await at(person, pod).refresh() for pod in pods]
            assert [answer.json()["refreshToken"] for answer in again] == [successor] * 3
            assert 0 < deadline(keys, "handoff") - time.time() * 1000 <= 10_000
            expire_in(keys, "handoff", 1)
            answer = await at(person, late).refresh()
            assert code_of(answer) == (401, "refresh_token_reused")


async def test_a_session_ends_by_redis_clock(pods: Pods, keys: RedisServer) -> None:
    """With 20 s to live, it lives for the pod that is 30 s ahead; once over, for none."""
    for pod in pods:
        person = await sign_up(pods[0])
        expire_in(keys, "session", 20_000)
        assert (await at(person, pod).me()).status_code == 200
        answer = await at(person, pod).refresh()
        assert answer.status_code == 200
        person = person.holding(answer.json())
        expire_in(keys, "session", 1)
        assert code_of(await at(person, pod).refresh()) == (401, "invalid_refresh_token")


async def test_all_show_the_same_times(pods: Pods, keys: RedisServer) -> None:
    """What is shown of a session is Redis' time, whichever pod opened it and whichever is asked."""
    for opening in pods:
        with keys.client() as client:
            client.flushall()
        since = Stopwatch()
        person = await sign_up(opening)
        shown = [(await at(person, pod).me()).json()["session"] for pod in pods]
        assert shown[0] == shown[1] == shown[2]
        assert ms(shown[0]["expiresAt"]) == deadline(keys, "session")
        for name in ("createdAt", "lastUsedAt"):
            assert abs(ms(shown[0][name]) / 1000 - time.time()) < 5 + since.all


async def test_access_tokens_are_right_within_the_skew(pods: Pods) -> None:
    """Accepted everywhere, and for as long as they should, give or take the skew of two pods."""
    for minting, skew in zip(pods, SKEWS, strict=True):
        since = Stopwatch()
        person = await sign_up(minting)
        claims = claims_of(person.tokens["accessToken"])
        assert claims["exp"] - claims["iat"] == person.tokens["expiresIn"] == 900
        assert abs(claims["iat"] - skew - time.time()) < 5 + since.all
        assert abs(claims["auth_time"] - time.time()) < 5 + since.all
        for pod in pods:
            assert (await at(person, pod).me()).status_code == 200
            assert abs(claims["exp"] - await clock_of(pod) - 900) <= 65 + since.all


async def test_the_present_code_counts_everywhere_and_once(pods: Pods) -> None:
    """Each pod takes it. Of all that get it at the same time, one does; afterwards, none."""
    for first in pods:
        holder = await new_holder(first)
        await holder.begin()
        early_in_a_step()
        code = holder.phone.code()
        answers = await asyncio.gather(*(holder.verify(code, client=pod) for pod in pods))
        assert 200 in [answer.status_code for answer in answers]
        for pod in pods:
            assert code_of(await attempt(holder, pod, code)) == (401, "invalid_code")
    for first in pods:
        holder = await enrolled(pods[0])
        early_in_a_step()
        code = holder.phone.code()
        assert (await attempt(holder, first, code)).status_code == 200
        for pod in pods:
            assert code_of(await attempt(holder, pod, code)) == (401, "invalid_code")


async def test_racers_with_one_code(pods: Pods) -> None:
    """Each with a challenge of their own, at the pod that lags and at the one that leads."""
    holder = await enrolled(pods[0])
    challenges = [await holder.challenge() for _ in range(9)]
    early_in_a_step()
    code = holder.phone.code()
    answers = await asyncio.gather(
        *(
            holder.answer(challenge, code, client=pods[number % 3])
            for number, challenge in enumerate(challenges)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 8


@pytest.mark.parametrize(
    ("ahead", "accepted"),
    [(-1, [200, 200, 401]), (0, [200, 200, 200]), (1, [401, 200, 200])],
)
async def test_the_window_moves_with_the_clock(pods: Pods, ahead: int, accepted: list[int]) -> None:
    """30 s are one step: a pod that is off by that much misses the neighbour on the other side."""
    early_in_a_step()
    for pod, status in zip(pods, accepted, strict=True):
        holder = await enrolled(pods[0], ahead=-2)
        answer = await attempt(holder, pod, holder.phone.code(ahead))
        assert answer.status_code == status


async def enrolled(behind: httpx.AsyncClient, ahead: int = -1) -> Holder:
    """Somebody with 2FA on whose present code is unspent: the pod that lags takes older ones."""
    holder = await new_holder(behind)
    await holder.begin()
    answer = await holder.verify(holder.phone.code(ahead))
    assert answer.status_code == 200, answer.text
    return holder


async def attempt(holder: Holder, pod: httpx.AsyncClient, code: str) -> httpx.Response:
    """Log in at this pod with password and code."""
    return await holder.answer(await holder.challenge(), code, client=pod)


async def test_challenges_and_enrolments_end_by_redis_clock(pods: Pods, keys: RedisServer) -> None:
    """`expiresAt` is the key's own deadline; before it every pod goes on, after it none does."""
    for beginning, going_on in ((pods[0], pods[2]), (pods[2], pods[0])):
        early_in_a_step()
        with keys.client() as client:
            client.flushall()
        holder = await new_holder(beginning)
        since = Stopwatch()
        begun = await holder.begin()
        assert ms(begun["expiresAt"]) == deadline(keys, "pending2fa")
        assert abs(ms(begun["expiresAt"]) / 1000 - 600 - time.time()) < 5 + since.all
        expire_in(keys, "pending2fa", 1)
        answer = await holder.verify(client=going_on)
        assert code_of(answer) == (400, "enrollment_not_found")

        await holder.begin()
        expire_in(keys, "pending2fa", 20_000)
        answer = await holder.verify(client=going_on)
        assert answer.status_code == 200, answer.text
        recovery_codes = answer.json()["recoveryCodes"]

        asked = (await holder.password(beginning)).json()
        assert ms(asked["expiresAt"]) == deadline(keys, "challenge")
        expire_in(keys, "challenge", 1)
        answer = await holder.answer(asked["challengeId"], recovery_codes[0], client=going_on)
        assert code_of(answer) == (401, "challenge_not_found")

        challenge = await holder.challenge()
        expire_in(keys, "challenge", 20_000)
        answer = await holder.answer(challenge, recovery_codes[0], client=going_on)
        assert answer.status_code == 200, answer.text


async def test_limits_are_counted_by_redis(pods: Pods) -> None:
    """Ten wrong passwords over all pods, and each tells the same wait until the next."""
    person = await sign_up(pods[0])
    wrong = {"email": person.email, "password": "not " + PASSWORD}
    since = Stopwatch()
    for number in range(10):
        answer = await pods[number % 3].post("/auth/login", json=wrong)
        assert code_of(answer) == (401, "invalid_credentials")
    asked = Stopwatch()
    answers = [await pod.post("/auth/login", json=wrong) for pod in pods]
    assert [code_of(answer) for answer in answers] == [(429, "rate_limited")] * 3
    waits = [int(answer.headers["retry-after"]) for answer in answers]
    assert max(waits) - min(waits) <= asked.all + 1
    assert 899 - since.all <= max(waits) <= 900


async def test_a_new_account_has_its_pod_s_time(pods: Pods) -> None:
    """The one time that is shown and comes from a pod's clock: it is off by the skew, no more."""
    for pod, skew in zip(pods, SKEWS, strict=True):
        since = Stopwatch()
        person = await sign_up(pod)
        created = datetime.fromisoformat((await person.me()).json()["user"]["createdAt"])
        assert abs((created - datetime.now(UTC)).total_seconds() - skew) < 5 + since.all
