"""`openshow-auth doctor`: it finds each fault there is a word for, and says what to do."""

import json
import os
import resource
import sqlite3
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from tools.testbed.access import SERVICE, users
from tools.testbed.forked import run_command
from tools.testbed.postgresql import PostgresServer
from tools.testbed.redis_server import RedisServer, available
from tools.testbed.service_process import PATIENT, ServiceProcess

from service.cli.doctor import configuration, keys, redis_server, user_store
from service.cli.doctor.command import examine
from service.cli.doctor.findings import Finding
from service.cli.doctor.redis_server import ADVICE, check_redis
from service.database.migration import migrate
from service.errors import (
    KeyServiceUnavailable,
    Refusal,
    SettingsError,
    StartupError,
    StoreRefuses,
)
from service.redis.probe import Written
from service.redis.requirements import ServerReport
from service.redis.rights import LOADING_LINE
from service.settings import Secret, Settings

SECRET = "hUnTeR2"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One that tests put into bad states."""
    server = RedisServer(available()["valkey"], tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def pod(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service on it that serves, whose feed is marked and whose keys are made."""
    pod = ServiceProcess(tmp_path_factory.mktemp("pod"), server.url_of(SERVICE), **PATIENT).start()
    yield pod
    assert pod.stop() == 0


def settings(pod: ServiceProcess, **more: Any) -> Settings:
    """Those of `pod`, as production has them but for the cost of hashes."""
    return Settings(data_dir=pod.directory / "var", redis_url=pod.redis_url, **more)


def run(pod: ServiceProcess, *arguments: str, **more: str) -> CompletedProcess[str]:
    environment = {
        "PATH": "/usr/bin:/bin",
        "SERVICE_DATA_DIR": str(pod.directory / "var"),
        "SERVICE_REDIS_URL": pod.redis_url.reveal(),
        **more,
    }
    return run_command(["doctor", *arguments], environment)


def found(findings: list[Finding], part: str, state: str, said: str, todo: str) -> None:
    """There is such a finding; none shows a secret, and what is not well says what to do."""
    assert any(
        each.part == part and each.state == state and said in each.message and todo in each.advice
        for each in findings
    ), findings
    for each in findings:
        assert SECRET not in f"{each.message} {each.advice}"
        assert "\n" not in each.message + each.advice


async def test_a_healthy_one(pod: ServiceProcess) -> None:
    """Beside a service that serves: each part is there, and none has a fault."""
    findings, code = await examine(settings(pod))
    assert code == 0
    states = {each.part: each.state for each in findings}
    assert states == dict.fromkeys(
        ("settings", "durability", "rights", "redis", "clock", "feed", "users", "keys"), "ok"
    )


def test_the_command(pod: ServiceProcess) -> None:
    """0 without a fault, with a line for each part; as JSON with --json."""
    text = run(pod)
    assert text.returncode == 0, text
    lines = text.stdout.splitlines()
    assert lines[-1] == "No faults, no warnings."
    assert sum(line.startswith("ok ") for line in lines) == 8
    report = json.loads(run(pod, "--json").stdout)
    assert report["ok"] is True
    assert {each["state"] for each in report["findings"]} == {"ok"}


def test_a_fault_ends_it_with_1(pod: ServiceProcess) -> None:
    """What to do stands under it, and JSON says the same. Nobody sees a password."""
    url = f"redis://:{SECRET}@127.0.0.1:1"
    text = run(pod, SERVICE_REDIS_URL=url)
    assert text.returncode == 1
    first, second, *_ = text.stdout.splitlines()
    assert first.startswith("fault    redis       Redis cannot be reached.")
    assert second.strip().startswith("→ See that the servers in SERVICE_REDIS_URL run")
    assert text.stdout.endswith("1 fault, no warnings.\n")
    told = run(pod, "--json", SERVICE_REDIS_URL=url)
    assert (told.returncode, json.loads(told.stdout)["ok"]) == (1, False)
    assert SECRET not in text.stdout + text.stderr + told.stdout + told.stderr


@pytest.mark.parametrize(
    "variables",
    [
        {"SERVICE_PORT": "http"},
        {"SERVICE_REDIS_URL": f"redis://:{SECRET}@h:port"},
        {"SERVICE_DATABASE_URL": f"postgresql://u:{SECRET}@h/db?sslmode=odd"},
        {"SERVICE_REDIS_URL": f"redis://:{SECRET}@192.0.2.1", "SERVICE_REQUIRE_TLS": "on"},
        {"SERVICE_KMS": "vault", "VAULT_ADDR": ""},
    ],
    ids=lambda variables: " ".join(variables),
)
def test_a_wrong_setting_ends_it_with_2(pod: ServiceProcess, variables: dict[str, str]) -> None:
    """The setting is named, whoever has read it."""
    done = run(pod, "--json", **variables)
    assert done.returncode == 2
    report = json.loads(done.stdout)
    assert report["ok"] is False
    named = next(iter(variables)) if "VAULT_ADDR" not in variables else "VAULT_ADDR"
    assert any(named in each["message"] for each in report["findings"] if each["state"] == "fault")
    assert SECRET not in done.stdout + done.stderr


STATES: dict[str, tuple[list[str], list[str], tuple[str, str, str, str]]] = {
    # by name: what puts the server into it, what takes it out again, and what is found
    "no append-only file": (
        ["CONFIG SET appendonly no"],
        ["CONFIG SET appendonly yes"],
        ("durability", "fault", "appendonly is off", "set appendonly yes".capitalize()),
    ),
    "evicts": (
        ["CONFIG SET maxmemory-policy allkeys-lru"],
        ["CONFIG SET maxmemory-policy noeviction"],
        ("redis", "fault", "allkeys-lru", "noeviction"),
    ),
    "full": (
        ["CONFIG SET maxmemory 1mb"],
        ["CONFIG SET maxmemory 0"],
        ("redis", "fault", "maxmemory", ADVICE["full"][5:]),
    ),
    "too few replicas": (
        ["CONFIG SET min-replicas-to-write 1"],
        ["CONFIG SET min-replicas-to-write 0"],
        ("redis", "fault", "too few replicas", "min-replicas-to-write"),
    ),
    "replica": (
        ["REPLICAOF 127.0.0.1 1"],
        ["REPLICAOF NO ONE"],
        ("redis", "fault", "replica", "primary"),
    ),
    "default without rights": (
        ["ACL SETUSER default resetkeys ~app:*"],
        ["ACL SETUSER default allkeys"],
        ("rights", "fault", "`default` may not", LOADING_LINE),
    ),
    "no dry run": (
        [f"ACL SETUSER {SERVICE} -acl|dryrun"],
        [],
        ("rights", "warning", "could not be checked", "+acl|dryrun"),
    ),
    "no INFO": ([f"ACL SETUSER {SERVICE} -info"], [], ("durability", "warning", "tell", "+info")),
    "no XADD": ([f"ACL SETUSER {SERVICE} -xadd"], [], ("rights", "fault", "XADD", "redis.conf")),
    "other keys": (
        [f"ACL SETUSER {SERVICE} resetkeys ~barrier:* ~session:*"],
        [],
        ("rights", "fault", "attempts:*", "redis.conf"),
    ),
    "no scripts": (
        [f"ACL SETUSER {SERVICE} -eval -evalsha"],
        [],
        ("redis", "fault", "let this user", "redis.conf"),
    ),
    "user switched off": (
        [f"ACL SETUSER {SERVICE} off"],
        [],
        ("redis", "fault", "user name and password", "SERVICE_REDIS_URL"),
    ),
    "another's feed": (
        [f"XADD revoked:issuer:{{{7:02x}}} 5-5 iss https://other.example"],
        [f"DEL revoked:issuer:{{{7:02x}}}"],
        ("feed", "fault", "https://other.example", "redis claim"),
    ),
    "a broken mark": (
        [f"DEL revoked:issuer:{{{7:02x}}}", f"SET revoked:issuer:{{{7:02x}}} x"],
        [f"DEL revoked:issuer:{{{7:02x}}}"],
        ("feed", "fault", "mark of 1 buckets", "redis claim"),
    ),
    "no stream of events": (
        ["DEL events:{09}", "SET events:{09} x"],
        ["DEL events:{09}"],
        ("events", "fault", "events:{09}", "RENAME"),
    ),
    "no mark": (
        [f"DEL revoked:issuer:{{{7:02x}}}"],
        [],
        ("feed", "warning", "1 of 64 buckets", "start the service".capitalize()),
    ),
}


@pytest.mark.parametrize("state", STATES)
async def test_states_of_redis(server: RedisServer, pod: ServiceProcess, state: str) -> None:
    """Each is found and has its advice; what was found before it is still told."""
    into, out_of, expected = STATES[state]
    pod.freeze()  # it would mark the feed again, and is not what is asked
    with server.client() as client:
        if state == "another's feed":
            client.delete("revoked:issuer:{07}")
        try:
            for command in into:
                client.execute_command(*command.split())
            findings = await check_redis(settings(pod))
        finally:
            for command in out_of:
                client.execute_command(*command.split())
            client.execute_command("ACL", "SETUSER", SERVICE, "reset", *users()[SERVICE])
            client.delete("revoked:issuer:{07}")
            client.xadd("revoked:issuer:{07}", {"iss": Settings().issuer})
            pod.resume()
    found(findings, *expected)


async def test_durability_that_our_user_may_ask_for(
    server: RedisServer, pod: ServiceProcess
) -> None:
    """As a user who may: `everysec` loses what a power cut takes, unless replicas have it."""
    with server.client() as client:
        client.config_set("appendfsync", "everysec")
        try:
            findings = await check_redis(Settings(redis_url=server.url))
        finally:
            client.config_set("appendfsync", "always")
    found(findings, "durability", "warning", "everysec", "appendfsync always")


async def test_replicas_that_are_not_there(pod: ServiceProcess) -> None:
    """They are missed, and so is what they should acknowledge."""
    findings = await check_redis(settings(pod, redis_min_replicas=1))
    found(findings, "durability", "fault", "0 replicas are connected", "503")
    found(findings, "durability", "fault", "fewer than 1 replicas", "SERVICE_REDIS_MIN_REPLICAS")


def test_a_failover_that_may_lose_changes() -> None:
    """Behind Sentinels, where fewer replicas are waited for than there are."""
    report = ServerReport("9.1.0", "master", "noeviction", "yes", "always", 2)
    behind: Any = SimpleNamespace(topology="sentinel", min_replicas=1)
    findings = [*redis_server._durability(report, behind)]
    found(findings, "durability", "warning", "of 2 replicas 1", "SERVICE_REDIS_MIN_REPLICAS=2")


@pytest.mark.parametrize(
    ("skew", "state"), [(0.0, "ok"), (-7.0, "warning"), (61.0, "fault"), (-9e9, "fault")]
)
def test_clocks(skew: float, state: str) -> None:
    """From 5 s on it is worth a warning, from a minute on no pod serves."""
    findings = [*redis_server._writing(Written((), skew))]
    found(findings, "clock", state, "clock", "NTP" if state != "ok" else "")


def test_buckets_without_a_server() -> None:
    """Of a cluster, some of whose slots nobody has."""
    refused = StoreRefuses("cluster", "The cluster does not serve this slot now")
    findings = [*redis_server._writing(Written((), 0.0, (refused, refused)))]
    found(findings, "redis", "fault", "2 of 64 buckets", "CLUSTER SHARDS")


def test_every_refusal_has_its_advice() -> None:
    """A new reason for which Redis refuses needs a word on what to do."""
    assert set(ADVICE) == set(get_args(Refusal))


@pytest.mark.parametrize("refusal", ADVICE)
async def test_each_reason_has_its_advice(
    pod: ServiceProcess, monkeypatch: pytest.MonkeyPatch, refusal: Any
) -> None:
    """Whatever Redis refuses for, and whoever finds it out."""

    async def refuse(_: Any) -> None:
        raise StoreRefuses(refusal, "Redis refuses")

    monkeypatch.setattr(redis_server, "probe", refuse)
    findings = await check_redis(settings(pod))
    found(findings, "redis", "fault", "Redis refuses", ADVICE[refusal][1:])
    found(findings, "durability", "ok", "append-only", "")


@pytest.mark.parametrize(
    ("url", "said", "todo"),
    [
        ("redis://127.0.0.1:1", "cannot be reached", "SERVICE_REDIS_URL"),
        ("unix://{}?db=99", "no such database", "SERVICE_REDIS_URL"),
        (f"unix://nobody:{SECRET}@{{}}", "user name and password", "SERVICE_REDIS_URL"),
    ],
)
async def test_what_the_url_says_wrongly(
    server: RedisServer, url: str, said: str, todo: str
) -> None:
    """Address, database, user."""
    path = server.url.reveal().removeprefix("unix://").partition("?")[0].rpartition("@")[2]
    findings = await check_redis(Settings(redis_url=Secret(url.format(path))))
    found(findings, "redis", "fault", said, todo)


async def test_no_embedded_server(tmp_path: Path) -> None:
    """Nobody is asked, and it is no fault of one that is not started."""
    findings = await check_redis(Settings(data_dir=tmp_path))
    found(findings, "redis", "warning", "No embedded Valkey runs", "Start the service")
    assert len(findings) == 1


def sqlite_url(path: Path) -> str:
    return f"sqlite:///{path}"


async def users_of(path: Path) -> list[Finding]:
    return await user_store.check_user_store(Settings(), sqlite_url(path))


async def test_states_of_the_user_store(tmp_path: Path) -> None:
    """Not there, empty, of an older version, foreign, newer, without a table, healthy."""
    file = tmp_path / "a.db"
    found(await users_of(file), "users", "warning", "no user store yet", "first start")
    sqlite3.connect(file).execute("CREATE TABLE t (x)").connection.close()
    found(await users_of(file), "users", "warning", "nothing of ours", "first start")
    file.unlink()
    await _migrated(file)
    found(await users_of(file), "users", "ok", "takes changes", "")
    for statement, expected in (
        ("UPDATE openshow_schema SET version_num = '0001'", ("warning", "older", "migrate")),
        ("UPDATE alembic_version SET version_num = '9999'", ("fault", "newer than this", "")),
        ("DROP TABLE sealed_keys", ("fault", "another program", "")),
    ):
        copy = tmp_path / "copy.db"
        copy.write_bytes(file.read_bytes())
        with sqlite3.connect(copy) as connection:
            connection.execute(statement)
        connection.close()
        found(await users_of(copy), "users", *expected)
    with sqlite3.connect(file) as connection:
        connection.execute("DROP TABLE password_costs")
    connection.close()
    found(await users_of(file), "users", "fault", "user store", "SERVICE_DATABASE_URL")


async def _migrated(file: Path) -> None:
    import asyncio

    await asyncio.to_thread(migrate, sqlite_url(file))
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """Another program's, or a directory."""
    file = tmp_path / "a.db"
    file.write_text("precious" * 100)
    findings = await users_of(file)
    assert [each.state for each in findings] == ["fault"]
    assert file.read_text() == "precious" * 100


async def test_postgresql(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of reach, healthy, too many connections for it, behind the wrong pooler."""
    away = await user_store.check_user_store(Settings(), f"postgresql://u:{SECRET}@127.0.0.1:1/x")
    found(away, "users", "fault", "cannot be reached", "SERVICE_DATABASE_URL")
    with postgres.database() as database:
        url = postgres.url(database)
        findings = await user_store.check_user_store(Settings(), url)
        assert [(each.part, each.state) for each in findings] == [("users", "ok")]
        many = Settings(workers=200, database_pool=100)
        findings = await user_store.check_user_store(many, url)
        found(findings, "users", "warning", "20400 connections", "SERVICE_DATABASE_POOL")

        async def refuse(_: str) -> None:
            raise StartupError("SERVICE_DATABASE_URL: behind it is a pooler in transaction mode")

        monkeypatch.setattr(user_store, "refuse_shared_sessions", refuse)
        findings = await user_store.check_user_store(Settings(), url)
        found(findings, "users", "fault", "pooler in transaction mode", "")


async def keys_of(pod: ServiceProcess, path: Path | None = None, **more: Any) -> list[Finding]:
    file = path or pod.directory / "var" / "service.db"
    return await keys.check_keys(settings(pod, **more), sqlite_url(file))


async def test_states_of_the_keys(
    pod: ServiceProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None yet, a key file that is missing or another, a key service that is away, old keys."""
    await _migrated(tmp_path / "new.db")
    found(await keys_of(pod, tmp_path / "new.db"), "keys", "warning", "no keys yet", "first start")
    found(await keys_of(pod), "keys", "ok", "opens all keys", "")
    missing = await keys_of(pod, kms_local_key_file=tmp_path / "gone")
    found(missing, "keys", "fault", "missing", "")
    other = tmp_path / "other"
    text = (pod.directory / "var" / "local.keys").read_text()
    title, line = [each for each in text.splitlines() if not each.startswith("#")]
    other.write_text(f"{title}\n00000000 {line.split()[1]}\n")
    other.chmod(0o600)
    found(await keys_of(pod, kms_local_key_file=other), "keys", "fault", "does not open", "")

    def away(*_: Any) -> None:
        raise KeyServiceUnavailable("the key service does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(keys, "unseal_all", away)
        found(await keys_of(pod), "keys", "fault", "does not answer", "openshow-auth keys test")

        def some(*_: Any) -> Any:
            return SimpleNamespace(refused={7: KeyServiceUnavailable("it is disabled")})

        patched.setattr(keys, "unseal_all", some)
        found(await keys_of(pod), "keys", "warning", "epoch 7 does not open", "docs/keys.md")
    copy = tmp_path / "copy.db"
    with sqlite3.connect(pod.directory / "var" / "service.db") as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    connection.close()
    with sqlite3.connect(copy) as connection:
        connection.execute("UPDATE sealed_keys SET created_at = created_at - 8000000000")
    connection.close()
    old = await keys_of(pod, copy)
    found(old, "keys", "warning", "signing key is 93 days old", "keys rotate signing")
    found(old, "keys", "warning", "refresh-mac key is 93 days old", "keys rotate refresh-mac")
    assert len(old) == 2  # nothing turns the others over


def judged(environ: dict[str, str] | None = None, **more: Any) -> list[Finding]:
    return configuration.check_settings(Settings(**more), environ or {})


CONFIGURATIONS: list[tuple[dict[str, Any], tuple[str, str, str, str]]] = [
    ({"env": "test"}, ("settings", "warning", "cheap password", "SERVICE_ENV")),
    ({"bcrypt_cost": 4}, ("settings", "warning", "SERVICE_BCRYPT_COST=4", "10")),
    ({"rate_limit": False}, ("settings", "warning", "SERVICE_RATE_LIMIT", "load tests")),
    ({"issuer": "nonsense"}, ("settings", "warning", "SERVICE_ISSUER is no", "https://")),
    ({"host": "0.0.0.0"}, ("settings", "warning", "SERVICE_HOST serves other", "SERVICE_ISSUER")),
    ({"issuer": "http://id.example"}, ("settings", "warning", "in clear", "https://")),
    (
        {"trusted_proxies": (ip_network("0.0.0.0/0"),)},
        ("settings", "fault", "SERVICE_TRUSTED_PROXIES has 0.0.0.0/0", "own addresses"),
    ),
    (
        {"trusted_proxies": (ip_network("10.0.0.7/32"), ip_network("::/0"))},
        ("settings", "fault", "SERVICE_TRUSTED_PROXIES has ::/0", "own addresses"),
    ),
    (
        {"redis_url": Secret(f"redis://u:{SECRET}@r.example")},
        ("tls", "warning", "SERVICE_REDIS_URL makes", "SERVICE_REQUIRE_TLS"),
    ),
    (
        {"database_url": Secret(f"postgresql://u:{SECRET}@d.example/x")},
        ("tls", "warning", "SERVICE_DATABASE_URL makes", "sslmode"),
    ),
    (
        {"redis_url": Secret(f"rediss://u:{SECRET}@r.example?ssl_cert_reqs=none")},
        ("tls", "warning", "SERVICE_REDIS_URL does not look", "ssl_ca_certs"),
    ),
    (
        {"database_url": Secret(f"postgresql://u:{SECRET}@d.example/x?sslmode=require")},
        ("tls", "warning", "SERVICE_DATABASE_URL does not look", "verify-full"),
    ),
]


@pytest.mark.parametrize(("more", "expected"), CONFIGURATIONS, ids=lambda value: " ".join(value))
def test_settings_that_production_should_not_have(
    tmp_path: Path, more: dict[str, Any], expected: tuple[str, str, str, str]
) -> None:
    """Each is told, by its name."""
    found(judged(data_dir=tmp_path / "none", **more), *expected)


def test_settings_as_they_should_be(tmp_path: Path) -> None:
    """TLS that looks at certificates, proxies by their addresses, an https issuer."""
    findings = judged(
        data_dir=tmp_path / "none",
        host="0.0.0.0",
        issuer="https://id.example",
        trusted_proxies=(ip_network("10.0.3.0/28"), ip_network("fd00::/64")),
        redis_url=Secret("rediss://r.example"),
        database_url=Secret("postgresql://d.example/x?sslmode=verify-full"),
    )
    assert [each.state for each in findings] == ["ok"]


def test_a_vault_in_clear(tmp_path: Path) -> None:
    """Also a key service's address is one."""
    environ = {"VAULT_ADDR": "http://v.example", "VAULT_TOKEN": SECRET}
    findings = judged(environ, data_dir=tmp_path / "none", kms="vault")
    found(findings, "tls", "warning", "VAULT_ADDR makes", "https://")


def test_what_the_machine_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few open files, a data directory that is open to others or somebody else's."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    directory = tmp_path / "var"
    directory.mkdir(mode=0o700)
    found(judged(data_dir=directory), "settings", "warning", "only 256 files".capitalize(), "4096")
    directory.chmod(0o755)
    found(judged(data_dir=directory), "settings", "fault", "others may look", "chmod 700")
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)
    found(judged(data_dir=directory), "settings", "fault", "another user's", "user of the service")


async def test_what_hangs_is_told(pod: ServiceProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that never answers costs no more than its time; a setting in it makes the code 2."""
    import asyncio

    from service.cli.doctor import command

    async def hang(*_: Any) -> list[Finding]:
        await asyncio.Event().wait()
        return []

    async def wrong(*_: Any) -> list[Finding]:
        raise SettingsError("SERVICE_X must be y")

    monkeypatch.setattr(command, "_PATIENCE", 0.05)
    monkeypatch.setattr(command, "check_redis", hang)
    monkeypatch.setattr(command, "check_user_store", wrong)
    findings, code = await examine(settings(pod))
    found(findings, "redis", "fault", "does not answer", "")
    found(findings, "users", "fault", "SERVICE_X must be y", "")
    assert code == 2
