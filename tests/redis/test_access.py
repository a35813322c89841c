"""The ACL users that redis.conf proposes can do what they must, and nothing else.

That what they can do is enough: `tests/guard/test_least_rights.py`, and all tests whose service or
guard connects as one of these users.
"""

import inspect
import re
from pathlib import Path

import pytest
import redis
from redis.exceptions import NoPermissionError, ResponseError
from tools.testbed import access
from tools.testbed.access import ASKING_GUARD, EVENTS, GUARD, SERVICE
from tools.testbed.cluster import Node
from tools.testbed.redis_server import REPOSITORY, RedisServer

from service.embedded.files import find_binary
from service.redis import keys

FOR_ALL = {"auth", "hello", "quit", "reset"}
"""What a server lets everybody do, since it comes before a user is known, or ends it."""

INDEX, FEED, RECORD = "sessions:{00}:user", "revoked:{00}", "session:{00}:digest"


def client_as(server: RedisServer, user: str) -> "redis.Redis":
    return redis.Redis.from_url(server.url_of(user).reveal())


def runnable(server: RedisServer, user: str) -> set[str]:
    """Every command of the server that the user may run, whatever its keys."""
    found = set()
    with server.client() as client:
        arities: dict[str, int] = {}
        for name, info in client.command().items():
            parts = {part[0].decode(): part[1] for part in info["subcommands"]}
            arities |= parts or {name: info["arity"]}
        for name, arity in arities.items():
            words = name.split("|")
            words += ["1"] * (abs(arity) - len(words))
            verdict = client.execute_command("ACL DRYRUN", user, *words)
            if b"no permissions to run" not in verdict:
                found.add(name)
    return found


def named(user: str) -> set[str]:
    """The commands in the user's line."""
    return {rule.strip("+)") for rule in access.users()[user] if rule.startswith("+")}


@pytest.mark.parametrize("user", [SERVICE, GUARD, ASKING_GUARD, EVENTS])
def test_of_all_commands_only_those_named(redis_server: RedisServer, user: str) -> None:
    """Asked about each command that the server knows."""
    assert runnable(redis_server, user) == named(user) | FOR_ALL


def test_in_a_cluster_a_little_more(tmp_path: Path) -> None:
    """To find slots, and to be sent on; that is all."""
    node = Node(find_binary(), tmp_path)
    node.start()
    try:
        for user in (SERVICE, GUARD, ASKING_GUARD, EVENTS):
            assert runnable(node, user) == named(user) | FOR_ALL | {
                rule.strip("+") for rule in access.in_a_cluster()[user]
            }
    finally:
        node.stop()


@pytest.mark.parametrize(
    ("user", "command"),
    [
        (GUARD, ["XREAD", "STREAMS", "events:{00}", "0"]),
        (GUARD, ["XREAD", "STREAMS", FEED, "events:{00}", "0", "0"]),
        (GUARD, ["XRANGE", FEED, "-", "+"]),
        (GUARD, ["XADD", FEED, "*", "s", "x"]),
        (GUARD, ["DEL", FEED]),
        (GUARD, ["GET", RECORD]),
        (GUARD, ["HEXISTS", INDEX, "x"]),
        (GUARD, ["KEYS", "*"]),
        (GUARD, ["SCAN", "0"]),
        (GUARD, ["CONFIG", "GET", "*"]),
        (GUARD, ["EVAL", "return redis.call('GET', KEYS[1])", "1", RECORD]),
        (GUARD, ["SUBSCRIBE", "x"]),
        (GUARD, ["FLUSHALL"]),
        (ASKING_GUARD, ["HGET", INDEX, "x"]),
        (ASKING_GUARD, ["HGETALL", INDEX]),
        (ASKING_GUARD, ["HDEL", INDEX, "x"]),
        (ASKING_GUARD, ["HEXISTS", RECORD, "x"]),
        (ASKING_GUARD, ["XREAD", "STREAMS", INDEX, "0"]),
        (ASKING_GUARD, ["GET", RECORD]),
        (ASKING_GUARD, ["GET", "revocations:{00}"]),
        (GUARD, ["GET", "revoked:before:{00}"]),
        (ASKING_GUARD, ["XADD", FEED, "*", "s", "x"]),
        (SERVICE, ["FLUSHALL"]),
        (SERVICE, ["KEYS", "*"]),
        (SERVICE, ["SCAN", "0"]),
        (SERVICE, ["CONFIG", "SET", "appendfsync", "no"]),
        (SERVICE, ["CONFIG", "GET", "requirepass"]),
        (SERVICE, ["CONFIG", "GET", "appendfsync"]),
        (SERVICE, ["ACL", "GETUSER", "default"]),
        (SERVICE, ["ACL", "LIST"]),
        (SERVICE, ["ACL", "SETUSER", "mallory"]),
        (SERVICE, ["SHUTDOWN"]),
        (SERVICE, ["REPLICAOF", "NO", "ONE"]),
        (SERVICE, ["GET", "of another app"]),
        (SERVICE, ["SET", "of another app", "x"]),
        (SERVICE, ["XREAD", "STREAMS", FEED, "0"]),
        (SERVICE, ["XREAD", "STREAMS", "events:{00}", "0"]),
        (EVENTS, ["XRANGE", FEED, "-", "+"]),
        (EVENTS, ["XREAD", "STREAMS", "events:{00}", FEED, "0", "0"]),
        (EVENTS, ["XADD", "events:{00}", "*", "type", "x"]),
        (EVENTS, ["XDEL", "events:{00}", "1-1"]),
        (EVENTS, ["XTRIM", "events:{00}", "MAXLEN", "0"]),
        (EVENTS, ["DEL", "events:{00}"]),
        (EVENTS, ["GET", RECORD]),
        (EVENTS, ["KEYS", "*"]),
        (EVENTS, ["EVAL", "return 1", "0"]),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value[:3]),
)
def test_what_is_refused(redis_server: RedisServer, user: str, command: list[str]) -> None:
    """Neither other commands nor other keys."""
    with client_as(redis_server, user) as client, pytest.raises(NoPermissionError):
        client.execute_command(*command)


@pytest.mark.parametrize("body", ["'KEYS', '*'", "'GET', 'of another app'", "'FLUSHALL'"])
def test_a_script_gives_no_more_leave(redis_server: RedisServer, body: str) -> None:
    """Nor does wrapping it in Lua."""
    with (
        client_as(redis_server, SERVICE) as client,
        pytest.raises(ResponseError, match=r"(?i)user .*can.t|permission"),
    ):
        client.eval(f"return redis.call({body})", 0)


def test_the_service_is_named_what_its_code_says() -> None:
    """Each command and each kind of key, since what a rare path lacks shows late; and no other."""
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for path in (REPOSITORY / "service").rglob("*")
        if path.suffix in (".lua", ".py")
        and path.parent.name != "guard"
        # `openshow-auth keys rewrap` alone, and a user of its own may run that (docs/keys.md).
        and path.name != "resealing.py"
    )
    rules = access.users()[SERVICE] + access.in_a_cluster()[SERVICE]
    commands = {rule[1:].partition("|")[0].upper() for rule in rules if rule.startswith("+")}
    assert set(re.findall(r"\bcall\('([A-Z]+)'", code)) <= commands
    assert commands <= set(re.findall(r"""['"]([A-Z]+)['"]""", code))
    names = re.findall(r'b?"(\w+):"', inspect.getsource(keys))
    assert {f"~{name}:*" for name in names} == {rule for rule in rules if rule.startswith("~")}
