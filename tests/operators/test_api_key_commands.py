"""The commands for API keys: a key is shown once, and what is wrong is one line."""

import re
from pathlib import Path

import pytest
from tools.testbed.access import SERVICE
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PATIENT

from tests.operators.commands import command
from tests.support.user_stores import SqliteStore


@pytest.fixture(autouse=True)
def environment(keys: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis lets the commands do what it lets the service do."""
    monkeypatch.setenv("SERVICE_REDIS_URL", keys.url_of(SERVICE).reveal())
    monkeypatch.setenv("SERVICE_DATABASE_URL", SqliteStore(tmp_path).url)
    monkeypatch.setenv("SERVICE_DATA_DIR", str(tmp_path))
    for name, value in PATIENT.items():
        monkeypatch.setenv(name, value)


async def test_create_list_revoke() -> None:
    """Without keys of the service; the text of a key is printed by `create` alone."""
    made = await command("api-keys", "create", "a gateway", "--scopes", "introspect,users.read")
    assert made.code == 0
    assert re.fullmatch(r"osk_[\w-]+\n", made.out), "the key alone, as $(...) takes it"
    assert "(a gateway) is good" in made.err
    assert "osk_" not in made.err
    more = await command(
        "api-keys", "create", "b", "--scopes", "events.read", "--expires", "90d", "--json"
    )
    document = more.document["apiKey"]
    assert more.document["key"].startswith("osk_")
    assert document["expiresAt"]
    listed = await command("api-keys", "list", "--json")
    first, second = listed.document["apiKeys"]
    assert second == document
    assert (first["name"], first["scopes"]) == ("a gateway", ["users.read", "introspect"])
    for changed in (True, False):
        revoked = await command(
            "api-keys", "revoke", first["id"].upper(), "--reason", "it was lost", "--json"
        )
        assert (revoked.code, revoked.document["changed"]) == (0, changed)
    shown = await command("api-keys", "list")
    assert "revoked" in shown.out
    assert "good" in shown.out
    for outcome in (listed, shown):
        assert "osk_" not in outcome.out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("create", "a", "--scopes", "users.read,nothing"), 2),
        (("create", "a", "--scopes", ""), 2),
        (("create", "", "--scopes", "users.read"), 2),
        (("create", "a"), 2),
        (("create", "a", "--scopes", "users.read", "--expires", "yesterday"), 2),
        (("create", "a", "--scopes", "users.read", "--expires", "2020-01-01"), 2),
        (("create", "a", "--scopes", "users.read", "--reason", " "), 2),
        (("revoke", "0123456789abcdef"), 1),
        (("revoke", "osk_"), 1),
    ],
)
async def test_what_is_refused(arguments: tuple[str, ...], code: int) -> None:
    """By a line that says why, and nothing is made."""
    outcome = await command("api-keys", *arguments)
    assert outcome.code == code
    assert outcome.err
    assert (await command("api-keys", "list", "--json")).document == {"apiKeys": []}
