"""A restart loads every change: with the ACL lines that we propose, and nowhere without notice.

What a script changes stands in the append-only file between MULTI and EXEC, and is loaded with the
rights of the user `default`.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from tools.testbed import access
from tools.testbed.access import PASSWORD, SERVICE
from tools.testbed.parts import PATIENTLY
from tools.testbed.redis_server import REPOSITORY, RedisServer, available
from tools.testbed.service_process import PATIENT, ServiceProcess

from service.errors import StartupError
from service.redis import rights
from service.redis.client import RedisClient
from service.redis.keys import KINDS
from service.redis.requirements import check_server
from service.redis.rights import commands_written, missing_to_load
from service.settings import Secret

ADMIN = "user admin on >CHANGE-ME ~* &* +@all"
SHIPPED = access.lines()["default"]
DEPLOY = REPOSITORY / "docs/deploy/README.md"

SERVERS = pytest.mark.parametrize("name", available())

WRITES = """
local function call(name, kind, ...) redis.call(name, kind .. ':{00}' .. ':x', ...) end
call('SET', 'session', 'x') call('PEXPIRE', 'session', 3600000)
call('SET', 'challenge', 'x', 'PX', 3600000) call('DEL', 'challenge')
call('SETRANGE', 'pending2fa', 0, 'abc') call('PEXPIRE', 'pending2fa', 3600000)
call('HSET', 'sessions', 'a', '1', 'b', '2') call('HDEL', 'sessions', 'b')
call('INCR', 'revocations')
call('RPUSH', 'attempts', '1', '2', '2', '3') call('LPOP', 'attempts')
call('LREM', 'attempts', 1, '2') call('PEXPIREAT', 'attempts', ARGV[1])
for n = 1, 5 do call('XADD', 'revoked', '*', 's', n) end
call('XTRIM', 'revoked', 'MAXLEN', 2)"""
"""Each command that our scripts write with, on keys of theirs."""


class Restarted(RedisServer):
    """A server with these ACL lines alone, in its `aclfile` or in its configuration."""

    def __init__(self, name: str, directory: Path, lines: list[str], *, in_file: bool) -> None:
        configuration = directory / "redis.conf"
        shipped = (REPOSITORY / "redis.conf").read_text(encoding="utf-8")
        more = "" if in_file else "\n" + "\n".join(lines) + "\n"
        configuration.write_text(shipped + more)
        super().__init__(available()[name], directory, configuration=configuration)
        if in_file:
            (directory / "users.acl").write_text("\n".join(lines) + "\n")
        else:
            del self._command[-2:]

    def client(self) -> "redis.Redis":
        return redis.Redis.from_url(self.url_of("admin").reveal())


def contents(server: RedisServer) -> dict[bytes, tuple[bytes, int]]:
    """All keys with what they hold and when they end."""
    with server.client() as client:
        return {
            key: (client.dump(key), client.execute_command("PEXPIRETIME", key))
            for key in client.scan_iter()
        }


@contextmanager
def started(name: str, directory: Path, *lines: str, in_file: bool = True) -> Iterator[RedisServer]:
    server = Restarted(name, directory, [ADMIN, *lines], in_file=in_file)
    try:
        yield server.start()
    finally:
        if server.process is not None:
            server.stop()


def over_a_restart(server: RedisServer, *, rewritten: bool) -> tuple[dict, dict]:  # type: ignore[type-arg]  # of `contents`
    """What was there before a restart, and after it."""
    with server.client() as client:
        end = client.time()[0] * 1000 + 3_600_000
        client.eval(WRITES, 0, end)
        if rewritten:
            client.execute_command("BGREWRITEAOF")
            while client.info("persistence")["aof_rewrite_in_progress"]:
                client.ping()
            client.eval("redis.call('DEL', 'session:{00}:x')", 0)
    before = contents(server)
    server.kill()
    server.start()
    return before, contents(server)


@SERVERS
@pytest.mark.parametrize("in_file", [True, False], ids=["aclfile", "redis.conf"])
@pytest.mark.parametrize("rewritten", [True, False], ids=["rewritten", "as written"])
def test_a_restart_with_the_lines_we_ship_keeps_everything(
    tmp_path: Path, name: str, in_file: bool, rewritten: bool
) -> None:
    """All keys, their contents and their ends; the session that ended after a rewrite stays so."""
    with started(name, tmp_path, *access.lines().values(), in_file=in_file) as server:
        before, after = over_a_restart(server, rewritten=rewritten)
        assert after == before
        assert (b"session:{00}:x" in after) is not rewritten
        assert len(before) == 6 - rewritten
        with pytest.raises(redis.exceptions.AuthenticationError):
            redis.Redis.from_url(server.url.reveal()).ping()


def test_the_docs_ship_the_same_line() -> None:
    """One line, wherever it is proposed, and in what the service prints."""
    assert access.lines(DEPLOY)["default"] == SHIPPED == rights.LOADING_LINE


@SERVERS
async def test_rights_that_lose_changes_are_noticed(tmp_path: Path, name: str) -> None:
    """`off` alone: what a restart then loses, on servers that lose it, is refused on all."""
    with started(name, tmp_path, "user default off") as server:
        before, after = over_a_restart(server, rewritten=False)
        with server.client() as client:
            version = client.info("server")["redis_version"]
        # Valkey 9.1.2 loads all the same; before it, and in Redis, everything scripted is gone.
        assert (before, after) == (before, {} if version == "7.0.15" else before)
        with pytest.raises(StartupError, match=r"^SERVICE_REDIS_URL: .*`default` may not SELECT"):
            await check_server(server.url_of("admin"), timing=PATIENTLY)


@SERVERS
@pytest.mark.parametrize(
    ("rules", "lacks"),
    [
        ("off", "SELECT"),
        ("on nopass ~app:* +@all", "DEL attempts:*"),
        ("off ~* +@all -unlink", "UNLINK attempts:*"),
        ("off ~* +@all -@stream", "XACK attempts:*"),
        ("off %R~* +@all", "DEL attempts:*"),
        ("off ~* +@read +select", "DEL attempts:*"),
        ("off (~session:* +@all) (~* +del +unlink +select)", "HDEL attempts:*"),
        ("off ~* +@all -@dangerous", ""),
        ("off ~* +@write +select", ""),
        ("off (~* +@all)", ""),
        ("on >secret ~* &* +@all", ""),
        ("on nopass ~* resetchannels +@all", ""),
    ],
)
async def test_what_is_enough(tmp_path: Path, name: str, rules: str, lacks: str) -> None:
    """Commands, keys and selectors matter as they do to EXEC; passwords and channels do not.

    Where it is enough, a restart shows that it was.
    """
    with started(name, tmp_path, f"user default reset {rules}") as server:
        redis_client = RedisClient(server.url_of("admin"), timing=PATIENTLY)
        assert await missing_to_load(redis_client) == lacks
        await redis_client.aclose()
        if not lacks:
            before, after = over_a_restart(server, rewritten=False)
            assert after == before


def test_all_that_scripts_write_is_asked_about(redis_server: RedisServer) -> None:
    """Each command of our scripts that writes, as the server itself says which do."""
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for path in (REPOSITORY / "service").rglob("*")
        if path.suffix in (".lua", ".py")
    )
    called = set(re.findall(r"\bcall\('([A-Z]+)'", code))
    with redis_server.client() as client:
        table = client.command()
    writing = {name for name in called if "write" in table[name.lower()]["flags"]}
    assert {"SET", "DEL", "XADD"} < writing
    as_others = {"PEXPIRE", "XREADGROUP"}  # as PEXPIREAT; as XCLAIM and XGROUP
    assert writing - as_others <= commands_written()
    asked_for = {name.partition("|")[0] for name in rights.COMMANDS.split()}
    assert called - {"SETRANGE", "GETRANGE"} <= asked_for, "those: `rewrap`"
    assert {"session", "sessions", "revoked"} < set(KINDS)


@pytest.mark.parametrize("rules", ["off", "on nopass ~app:* +@all"])
def test_the_start_is_refused(tmp_path: Path, rules: str) -> None:
    """One line that names the setting and what to set, and no password."""
    lines = [access.lines()[SERVICE], f"user default reset {rules}"]
    with started("valkey", tmp_path, *lines) as server:
        code, said = ServiceProcess(tmp_path, server.url_of(SERVICE), **PATIENT).refusal()
    assert code == 2
    assert said.count("\n") == 1
    assert said.startswith("openshow-auth: SERVICE_REDIS_URL: ")
    assert rights.LOADING_LINE in said
    assert PASSWORD not in said


async def test_where_we_may_not_look_we_say_so(tmp_path: Path) -> None:
    """Without `+acl|dryrun` the server is let pass; readiness tells it (test_readiness.py)."""
    line = access.lines()[SERVICE].replace(" +acl|dryrun", "")
    with started("valkey", tmp_path, line, "user default off") as server:
        await check_server(Secret(server.url_of(SERVICE).reveal()), timing=PATIENTLY)
