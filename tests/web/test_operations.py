"""What operators and other services ask: keys, liveness, readiness, metrics."""

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path

import httpx
import jwt
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tools.testbed.parts import PATIENTLY
from tools.testbed.redis_server import RedisServer, available
from tools.testbed.service_process import Person, ServiceProcess
from tools.testbed.waiting import eventually, wait_until

from service.readiness.checks import Parts
from service.redis.client import RedisClient
from tests.support.run_queue import Stopwatch
from tests.web.wire import Wire

SAMPLES = dict[tuple[str, str, str], float]


async def test_the_keys_verify_a_token(http: httpx.AsyncClient, person: Person) -> None:
    """PyJWT takes the JWK set as it is, finds the token's key in it and verifies with it."""
    answer = await http.get("/.well-known/jwks.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "public, max-age=600"
    token = person.tokens["accessToken"]
    header = jwt.get_unverified_header(token)
    assert (header["typ"], header["alg"]) == ("at+jwt", "ES256")
    key = jwt.PyJWKSet.from_dict(answer.json())[header["kid"]]
    claims = jwt.decode(
        token, key, algorithms=["ES256"], audience="openshow", issuer="http://127.0.0.1:8000"
    )
    assert " ".join(sorted(claims)) == "amr aud auth_time client_id exp iat iss jti sat sid sub"
    assert (claims["sid"], claims["amr"]) == (person.tokens["sessionId"], ["pwd"])
    assert claims["sub"] == person.tokens["user"]["id"]
    assert claims["exp"] - claims["iat"] == person.tokens["expiresIn"] == 900
    for jwk in answer.json()["keys"]:
        assert set(jwk) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
        assert len(base64.urlsafe_b64decode(jwk["x"] + "=")) == 32


async def test_nobody_sniffs(http: httpx.AsyncClient, wire: Wire) -> None:
    """Every answer says that its body is what it says, refusals of the server's own included."""
    for method, path in (("GET", "/health/live"), ("GET", "/schema"), ("GET", "/metrics"),
                         ("POST", "/auth/login"), ("OPTIONS", "/auth/me"), ("GET", "/nothing"),
                         ("HEAD", "/auth/me"), ("GET", "/schema/openapi.json")):  # fmt: skip
        answer = await http.request(method, path)
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"], path
        assert "strict-transport-security" not in answer.headers  # the issuer is http here
    raw = wire.ask("GET / x")
    assert (raw.status_code, raw.headers["x-content-type-options"]) == (400, "nosniff")


async def settled(http: httpx.AsyncClient, status: int) -> httpx.Response:
    """What readiness says once it has this status: a starved part is silent for a moment."""
    answers = list[httpx.Response]()

    async def has_it() -> bool:
        answers.append(await http.get("/health/ready"))
        return answers[-1].status_code == status

    await eventually(has_it)
    return answers[-1]


async def test_ready(http: httpx.AsyncClient) -> None:
    """200, a line for each part, and how durable a revocation is."""
    answer = await settled(http, 200)
    assert answer.status_code == 200
    parts = answer.json()
    assert set(parts) == {"redis", "users", "keyring", "clock"}
    assert all(part["ok"] is True and part["message"].endswith(".") for part in parts.values())
    for part in parts:
        assert any(line.startswith(f'  "{part}": {{') for line in answer.text.splitlines())
    assert parts["redis"]["message"] == (
        "Every change is in the append-only file before it is answered; whether it is on disk "
        "then, as appendfsync always has it, our user may not ask."
    )
    facts = parts["redis"]["facts"]
    assert facts.pop("version")
    assert facts == {
        "maxmemoryPolicy": "noeviction",
        "appendonly": "yes",
        "appendfsync": "unknown",
        "replicas": "0",
        "minReplicas": "0",
    }


async def test_ready_tells_what_durability_is_in_force(
    own_redis: RedisServer, own_service: ServiceProcess
) -> None:
    """Weaker settings are told; a policy that drops sessions makes the service unready.

    As a user who may ask for `appendfsync`, which that of redis.conf may not.
    """
    http = httpx.AsyncClient(base_url=own_service.url)
    with own_redis.client() as client:
        try:
            redis = (await settled(http, 200)).json()["redis"]
            assert redis["message"] == "Every change is on disk before it is answered."
            assert redis["facts"]["appendfsync"] == "always"
            client.config_set("appendfsync", "everysec")
            answer = await settled(http, 200)
            assert answer.status_code == 200
            assert "power cut" in answer.json()["redis"]["message"]
            client.config_set("maxmemory-policy", "allkeys-lru")
            answer = await http.get("/health/ready")
            assert answer.status_code == 503
            assert "allkeys-lru" in answer.json()["redis"]["message"]
        finally:
            client.config_set("appendfsync", "always")
            client.config_set("maxmemory-policy", "noeviction")
            await http.aclose()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that may be frozen and killed."""
    server = RedisServer(available()["valkey"], tmp_path).start()
    yield server
    server.stop()


@pytest.fixture
def own_service(own_redis: RedisServer, tmp_path: Path) -> Iterator[ServiceProcess]:
    """A service on `own_redis` whose files may be damaged."""
    service = ServiceProcess(tmp_path, own_redis.url).start()
    yield service
    own_redis.resume()
    assert service.stop() == 0


async def unready(client: httpx.AsyncClient, service: ServiceProcess) -> httpx.Response:
    """The 503 of readiness, which takes two seconds at the most."""
    assert service.process
    for _ in range(2):  # the first may be by a look that had begun before
        since = Stopwatch(service.process.pid)
        answer = await client.get("/health/ready")
        assert since.own < 2
        if answer.status_code == 503:
            break
    assert answer.status_code == 503
    return answer


async def test_unready_but_alive(own_redis: RedisServer, own_service: ServiceProcess) -> None:
    """With Redis frozen or the user store gone: 503 within 2 s that names the part, and live."""
    async with httpx.AsyncClient(base_url=own_service.url, timeout=30) as client:
        own_redis.freeze()
        answer = await unready(client, own_service)
        assert {name: part["ok"] for name, part in answer.json().items()} == {
            "redis": False,
            "users": True,
            "keyring": True,
            "clock": True,
        }
        assert (await client.get("/health/live")).json() == {"status": "live"}
        own_redis.resume()
        store = own_service.directory / "var" / "service.db"
        aside = store.rename(store.with_suffix(".aside"))
        answer = await unready(client, own_service)
        assert [name for name, part in answer.json().items() if not part["ok"]] == ["users"]
        assert str(store) not in answer.text
        assert (await client.get("/health/ready?ignore=redis")).status_code == 503
        assert (await client.get("/health/ready?ignore=users")).status_code == 200
        aside.rename(store)
        wait_until(lambda: httpx.get(f"{own_service.url}/health/ready").status_code == 200)


class _Hanging:
    """A user store that takes a connection and never answers, as on a disk that is gone."""

    def connect(self) -> "_Hanging":
        return self

    async def __aenter__(self) -> None:
        await asyncio.Event().wait()

    async def __aexit__(self, *_: object) -> None:
        pass


async def test_a_part_that_hangs_does_not_hang_the_answer(keys: RedisServer) -> None:
    """Within 2 s the part is told to be silent; the others are told as they are."""
    redis_client = RedisClient(keys.url, timing=PATIENTLY)
    look = Parts(redis_client, _Hanging(), "local")  # type: ignore[arg-type]
    since = Stopwatch()
    async with asyncio.timeout(30):
        parts = await look()
    assert since.own < 2
    look.close()
    await redis_client.aclose()
    assert (parts.redis.ok, parts.users.ok, parts.ok) == (True, False, False)
    assert parts.users.message == "The user store does not answer."


def samples(text: str) -> SAMPLES:
    """The counts of requests by route, method and status."""
    return {
        (sample.labels["route"], sample.labels["method"], sample.labels["status"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "openshow_requests_total"
    }


async def test_metrics_count_requests(http: httpx.AsyncClient, person: Person) -> None:
    """Each request counts once, under its route; durations come with them."""
    before = samples((await http.get("/metrics")).text)
    await person.me()
    await http.get("/auth/me")
    answer = await http.get("/metrics")
    after = samples(answer.text)
    kind, version, charset = answer.headers["content-type"].split("; ")  # each of them once
    assert (kind, version[:8], charset) == ("text/plain", "version=", "charset=utf-8")
    for status in ("200", "401"):
        key = ("/auth/me", "GET", status)
        assert after[key] == before.get(key, 0) + 1
    assert 'openshow_request_seconds_count{route="/auth/me"}' in answer.text


async def test_clients_cannot_make_series(http: httpx.AsyncClient, wire: Wire) -> None:
    """Paths, ids and methods of their choice end up under one name."""
    for number in range(3):
        await http.get(f"/nothing/{number}")
        await http.delete(f"/auth/sessions/{number:024x}")
        wire.ask(f"PROPFIND /nothing/{number}")
    text = (await http.get("/metrics")).text
    found = samples(text)
    assert found[("-", "GET", "404")] >= 3
    assert found[("-", "other", "404")] >= 3
    assert found[("/auth/sessions/{id}", "DELETE", "401")] >= 3
    assert "PROPFIND" not in text
    assert "nothing" not in text
