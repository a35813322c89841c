"""The service with a relying party: what has to be told arrives over kill -9; `jose` takes it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tools.testbed.access import SERVICE
from tools.testbed.ports import free_port
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PATIENT, Person, ServiceProcess, sign_up
from tools.testbed.waiting import eventually

from tests.relying_parties.parties import EVENT, token_in
from tests.sinks.receiver import OK, Endpoint, Received, listening
from tests.support.fleet import client_of
from tests.support.looking import ON_VALKEY
from tests.support.node import install_packages, run_node

pytestmark = ON_VALKEY


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    """Where the party listens."""
    async with listening() as endpoint:
        yield endpoint


async def test_killed_between_post_and_note(
    keys: RedisServer, endpoint: Endpoint, tmp_path: Path
) -> None:
    """The same session is told of again, by another token; the next one once."""
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    settings = {
        "SERVICE_PORT": str(port),
        "SERVICE_ISSUER": issuer,
        "SERVICE_SINK_NETWORKS": "127.0.0.0/8",
    }
    service = ServiceProcess(tmp_path, keys.url_of(SERVICE), **settings, **PATIENT).start()
    create = ("create", "shop", "--backchannel-logout-uri", endpoint.url)
    service.command("relying-parties", *create, "--reason", "new")

    def kill(_: Received) -> bytes:
        endpoint.answer = lambda _: OK
        service.kill()
        return b""

    endpoint.answer = kill
    async with client_of(service) as client:
        ann, bob = await sign_up(client), await sign_up(client)
        await ann.log_out()

        async def was_killed() -> bool:
            return len(endpoint.received) == 1

        await eventually(was_killed)
    with keys.client() as redis:  # what it had leases on is free at once
        for state in redis.scan_iter("events:*:sink:*"):
            redis.hset(state, "until", 1)
        redis.delete(*redis.keys("events:*:pods:*"))
    service.start()
    try:
        async with client_of(service) as client:
            await Person(client, bob.email, bob.tokens).log_out()

        async def all_is_told() -> bool:
            return len(endpoint.received) >= 3

        await eventually(all_is_told)
        tokens = [token_in(each) for each in endpoint.received]
        script = str(install_packages().parent / "logout_tokens.mjs")
        told = json.loads(run_node(script, issuer, "shop", *tokens))
    finally:
        assert service.stop() == 0
    assert sorted(claims["sid"] for claims in told) == sorted(
        [ann.session_id, ann.session_id, bob.session_id]
    )
    assert told[0]["sub"] == ann.user_id.hex()
    assert len({claims["jti"] for claims in told}) == 3
    for claims in told:
        assert claims["events"] == {EVENT: {}}
        assert "nonce" not in claims
