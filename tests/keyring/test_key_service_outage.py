"""The service while its Vault is sealed: what works without an open key, and what does not."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tools.testbed.redis_server import RedisServer, available
from tools.testbed.service_process import (
    PASSWORD,
    PATIENT,
    Person,
    ServiceProcess,
    code_of,
    sign_up,
)
from tools.testbed.waiting import eventually

from tests.keyring.rigs import VaultRig
from tests.support.bao import ROOT_TOKEN, Bao
from tests.support.two_factor import new_holder


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(available()["valkey"], tmp_path).start()
    yield server
    server.stop()


@pytest.fixture
def pod(redis: RedisServer, bao: Bao, vault_rig: VaultRig, tmp_path: Path) -> ServiceProcess:
    """A pod, not started, whose data keys are wrapped by Vault."""
    settings = {"VAULT_ADDR": bao.address, "VAULT_TOKEN": ROOT_TOKEN}
    return ServiceProcess(
        tmp_path,
        redis.url,
        SERVICE_KMS="vault",
        SERVICE_KMS_VAULT_KEY="first",
        **settings,
        **PATIENT,
    )


async def ready(http: httpx.AsyncClient) -> bool:
    return (await http.get("/health/ready")).status_code == 200


async def test_vault_is_sealed_at_the_start(pod: ServiceProcess, bao: Bao) -> None:
    """Sessions are read, listed and ended, logout is exact; what needs a secret gets 503; all of it
    comes back by itself once Vault is unsealed."""
    pod.start()
    async with httpx.AsyncClient(base_url=pod.url, timeout=10) as http:
        person = await sign_up(http)
        second, third = await person.log_in(), await person.log_in()
        renewed = third.holding((await third.refresh()).json())
        published = (await http.get("/.well-known/jwks.json")).json()
    pod.stop()
    bao.seal()
    pod.start()
    async with httpx.AsyncClient(base_url=pod.url, timeout=10) as http:
        for each in (person, second, third, renewed):
            each.client = http
        await _says_what_is_wrong(http)
        assert (await http.get("/.well-known/jwks.json")).json() == published
        await _sessions_work(person, second)
        await _logout_is_exact(third, renewed)
        await _secrets_are_unavailable(http, person)
        bao.unseal()
        await eventually(lambda: ready(http))
        assert (await person.log_in()).tokens["accessToken"]
        assert (await person.refresh()).status_code == 200
    assert pod.stop() == 0
    assert "Vault is sealed" in pod.output()


async def _says_what_is_wrong(http: httpx.AsyncClient) -> None:
    parts = (await http.get("/health/ready")).json()
    assert {name: part["ok"] for name, part in parts.items()} == {
        "redis": True,
        "users": True,
        "keyring": False,
        "clock": True,
    }
    assert parts["keyring"]["facts"] == {"provider": "vault"}
    assert parts["keyring"]["message"].startswith("The keys are not open")


async def _sessions_work(person: Person, second: Person) -> None:
    assert (await person.me()).status_code == 200
    assert len((await person.sessions()).json()["sessions"]) == 3
    assert (await person.end(second.session_id)).status_code == 204
    assert (await second.me()).status_code == 401
    forged = person.holding(person.tokens | {"accessToken": _altered(person.tokens["accessToken"])})
    assert (await forged.me()).status_code == 401


async def _logout_is_exact(third: Person, renewed: Person) -> None:
    """`third` holds a spent token of the session whose latest one `renewed` holds."""
    latest = renewed.tokens["refreshToken"]
    forged = _altered(latest)
    assert code_of(await third.log_out()) == (503, "service_unavailable")  # spent, or forged?
    assert code_of(await third.log_out(forged)) == (503, "service_unavailable")
    assert code_of(await renewed.log_out("osr_junk")) == (400, "session_not_found")
    assert (await renewed.me()).status_code == 200  # none of these has ended it
    assert (await renewed.log_out()).status_code == 204
    assert (await renewed.me()).status_code == 401
    assert code_of(await renewed.log_out()) == (400, "session_not_found")


async def _secrets_are_unavailable(http: httpx.AsyncClient, person: Person) -> None:
    credentials = {"email": person.email, "password": PASSWORD}
    answers = [
        await http.post("/auth/login", json=credentials),
        await http.post("/auth/signup", json={"email": "new@example.com", "password": PASSWORD}),
        await person.refresh(),
        await http.post("/auth/2fa/enable", headers=person.bearer),
    ]
    for answer in answers:
        assert code_of(answer) == (503, "service_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
    assert code_of(await person.refresh("osr_junk")) == (401, "invalid_refresh_token")


async def test_vault_is_sealed_at_the_very_first_start(pod: ServiceProcess, bao: Bao) -> None:
    """On an empty database nothing can be made yet: the pod waits for Vault, then makes keys."""
    bao.seal()
    pod.start()
    async with httpx.AsyncClient(base_url=pod.url, timeout=10) as http:
        await _says_what_is_wrong(http)
        assert (await http.get("/.well-known/jwks.json")).json() == {"keys": []}
        bao.unseal()
        await eventually(lambda: ready(http))
        await sign_up(http)
    assert pod.stop() == 0


async def test_vault_is_sealed_while_it_runs(pod: ServiceProcess, bao: Bao) -> None:
    """Nothing stops: the keys are in memory."""
    pod.start()
    bao.seal()
    async with httpx.AsyncClient(base_url=pod.url, timeout=10) as http:
        holder = await (await new_holder(http)).enrol()
        challenge = await holder.challenge()
        answer = await holder.answer(challenge, holder.phone.code(1))
        assert answer.status_code == 200
        assert (await holder.refresh()).status_code == 200
        assert await ready(http)
    bao.unseal()
    assert pod.stop() == 0


def _altered(token: str) -> str:
    return token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
