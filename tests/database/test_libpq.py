"""A PostgreSQL URL means what it means to libpq, or one line says what of it does not, and why."""

import asyncio
import contextlib
import socket
import ssl
from pathlib import Path

import pytest
from sqlalchemy import text
from tools.testbed.postgresql import PostgresServer

from service.database import libpq
from service.database.engine import open_database, ping
from service.database.migration import migrate
from service.errors import SettingsError, StartupError
from service.settings import Settings

KEYWORDS = (
    "service servicefile user password passfile channel_binding connect_timeout dbname host"
    " hostaddr port client_encoding options application_name fallback_application_name keepalives"
    " keepalives_idle keepalives_interval keepalives_count tcp_user_timeout sslmode sslnegotiation"
    " sslcompression sslcert sslkey sslcertmode sslpassword sslrootcert sslcrl sslcrldir sslsni"
    " requirepeer require_auth min_protocol_version max_protocol_version ssl_min_protocol_version"
    " ssl_max_protocol_version sslkeylogfile gssencmode krbsrvname gsslib gssdelegation"
    " scram_client_key scram_server_key replication target_session_attrs load_balance_hosts"
    " oauth_issuer oauth_client_id oauth_client_secret oauth_scope authtype tty"
)
"""All of PostgreSQL 18, and those that older ones have."""


VALUES = ("hunter2", "1", "prefer", "disable", "/tmp/hunter2")


def test_each_keyword_is_honoured_or_named() -> None:
    """Proves that none is passed on as if it were a setting of the server, and that a refusal names
    the setting and the parameter, and shows no value."""
    for keyword in KEYWORDS.split():
        for value in VALUES:
            check_honoured_or_named(keyword, value)


def check_honoured_or_named(keyword: str, value: str) -> None:
    said = f"SERVICE_DATABASE_URL: {keyword} cannot be used as it is: "
    try:
        parameters = libpq.read(f"postgresql://db/accounts?{keyword}={value}")
        said += repr(parameters)
        assert parameters.session == {}, keyword
    except StartupError as error:
        said, expected = str(error), said
        assert said.startswith(expected)
    assert "\n" not in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgres://db/x", {"host": ["db"], "database": "x"}),
        ("postgresql://db:6432", {"host": ["db"], "port": [6432]}),
        (
            "postgresql://me:p%40ss@one:1,two,[::1]:3/x",
            {
                "user": "me",
                "password": "p@ss",
                "database": "x",
                "host": ["one", "two", "::1"],
                "port": [1, 5432, 3],
            },
        ),
        ("postgresql://u:a#b?c@db/x", {"user": "u", "password": "a#b?c", "host": ["db"]}),
        ("postgresql:///x?host=/run/pg", {"host": ["/run/pg"], "database": "x"}),
        ("postgresql:///x?host=a,b&port=1,2", {"host": ["a", "b"], "port": [1, 2]}),
        ("postgresql:///x?host=a,b&port=7", {"host": ["a", "b"], "port": [7, 7]}),
        ("postgresql://db/x?hostaddr=10.0.0.7", {"host": ["10.0.0.7"]}),
        ("postgresql://db/x?password=a+b", {"password": "a+b"}),
        ("postgresql://db/x?dbname=y", {"database": "y"}),
        ("postgresql://%2Frun%2Fpg/x", {"host": ["/run/pg"]}),
    ],
)
def test_places_and_names(url: str, expected: dict[str, object]) -> None:
    """Proves that hosts, ports, user, password and database are those that libpq reads."""
    assert dict(libpq.read(url).driver).items() >= expected.items()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2%@db/x",
        "postgresql://me:hunter2%00@db/x",
        "postgresql://me:hunter2@db:port/x",
        "postgresql://me:hunter2@db:99999/x",
        "postgresql://me:hunter2@a,b:1,c/x?port=1,2",
        "postgresql://me:hunter2@db/x?sslmode",
        "postgresql://me:hunter2@db/x?Hunter2=1",
        "postgresql://me:hunter2@db/x?connect_timeout=hunter2",
        "postgresql://me:hunter2@db/x?options=hunter2",
        "postgresql://me:hunter2@db/x?sslrootcert=system&sslmode=require",
        "postgresql://me:hunter2@db/x?sslnegotiation=direct",
        "postgresql://me:hunter2@db/x?hostaddr=10.0.0.1&sslmode=verify-full",
        "postgresql://me:hunter2@db/x?statement_timeout=1",
        "postgresql://me:hunter2@db/x?options=-c%20synchronous_commit%3Doff",
        "postgresql://me:hunter2@db/x?load_balance_hosts=hunter2",
        "postgresql://me:hunter2@db/x?target_session_attrs=hunter2",
        "postgresql://me:hunter2@db/x?target_session_attrs=READ-WRITE",
        "postgresql://me:hunter2/2@db/x",
    ],
)
def test_what_cannot_be_read_is_one_line(url: str) -> None:
    """Proves that it names the setting, and shows no piece of what may be a password."""
    with pytest.raises(StartupError, match=r"^SERVICE_DATABASE_URL") as refused:
        libpq.read(url)
    assert "\n" not in str(refused.value)
    assert "unter2" not in str(refused.value)


@pytest.mark.parametrize("key", ["sslrootcert", "sslcert", "sslkey", "sslcrl"])
@pytest.mark.parametrize("mode", ["prefer", "require", "verify-ca", "verify-full"])
def test_a_file_that_cannot_be_used(tmp_path: Path, key: str, mode: str) -> None:
    """Proves that it is found before the server is asked, by the name of its parameter."""
    (tmp_path / "hunter2").mkdir()
    (tmp_path / "text").write_text("hunter2")
    for name in ("absent", "hunter2", "text"):
        if (key, name) == ("sslkey", "text"):
            continue  # looked into with its certificate
        with pytest.raises(SettingsError) as refused:
            libpq.read(f"postgresql://me:hunter2@db/x?sslmode={mode}&{key}={tmp_path}/{name}")
        said = str(refused.value)
        assert said.startswith(f"SERVICE_DATABASE_URL: {key} cannot be used as it is: its file")
        assert "unter2" not in said
        assert "\n" not in said
    libpq.read(f"postgresql://db/x?sslmode=disable&{key}={tmp_path}/absent")


@pytest.mark.parametrize("given", ["", "any", "read-write", "primary", "prefer-standby"])
def test_which_of_several_servers(given: str) -> None:
    """Proves that the values of libpq are taken; `any` and none are the same."""
    taken = libpq.read(f"postgresql://a,b/x?target_session_attrs={given}").driver
    assert taken.get("target_session_attrs", "any") == (given or "any")


def test_the_systems_authorities_are_trusted() -> None:
    """Proves that `sslrootcert=system` knows the server by its name, as libpq has it."""
    context = libpq.read("postgresql://db/x?sslrootcert=system").driver["ssl"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_settings_take_both_schemes() -> None:
    """Proves that `postgres://`, as many providers write it, is one of ours."""
    environ = {"SERVICE_DATABASE_URL": "postgres://db/x"}
    assert Settings.from_environment(environ).database_url.reveal() == "postgres://db/x"


async def test_parameters_reach_the_server(postgres: PostgresServer) -> None:
    """Proves that timeouts, names and options are accepted, and the session has what they say."""
    options = "options=-c%20work_mem%3D1234kB%20--search_path%3Dpublic,pg_catalog"
    more = "connect_timeout=5&keepalives_idle=30&gssencmode=prefer&channel_binding=prefer"
    with postgres.database(migrated=False) as name:
        url = postgres.url(name).replace("postgresql://", "postgres://")
        url += f"&{options}&{more}&application_name=mine&client_encoding=UTF8"
        await asyncio.to_thread(migrate, url)
        engine = open_database(url)
        names = "work_mem", "search_path", "application_name"
        async with engine.connect() as connection:
            found = [(await connection.execute(text(f"SHOW {name}"))).scalar() for name in names]
        await engine.dispose()
    assert found == ["1234kB", "public,pg_catalog", "mine"]


async def test_the_next_host_is_tried(postgres: PostgresServer) -> None:
    """Proves that of several hosts the first that answers is used, in migration and service."""
    with postgres.database(migrated=False) as name:
        url = f"postgresql://tests@/{name}?host=/nowhere,{postgres.directory}"
        await asyncio.to_thread(migrate, url)
        engine = open_database(url)
        await ping(engine)
        await engine.dispose()


async def test_keepalives_are_set(postgres: PostgresServer) -> None:
    """Proves that the kernel is told how soon to miss a server that is gone."""
    [path] = postgres.directory.glob(".s.PGSQL.[0-9]*[0-9]")

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = await asyncio.open_unix_connection(str(path))
        await asyncio.gather(pass_on(reader, behind[1]), pass_on(behind[0], writer))

    with postgres.database() as name:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        given = "keepalives_idle=31&keepalives_interval=7&keepalives_count=3&tcp_user_timeout=9000"
        engine = open_database(f"postgresql://tests@{place}/{name}?sslmode=disable&{given}")
        async with engine.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert raw is not None
            peer = raw._transport.get_extra_info("socket")
            options = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
            found = [
                peer.getsockopt(socket.IPPROTO_TCP, getattr(socket, option)) for option in options
            ]
        await engine.dispose()
        server.close()
    assert found == [31, 7, 3, 9000]
