"""Settings: what each variable takes, and the one line that stops the start for anything else."""

import os
import re
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from tools.testbed.forked import run_command
from tools.testbed.redis_server import REPOSITORY, RedisServer, available
from tools.testbed.service_process import ServiceProcess, sign_up
from tools.testbed.waiting import eventually

from service.errors import SettingsError
from service.mail import mail_url
from service.settings import Secret, Settings
from service.settings.providers import PRESETS

PAGE = (REPOSITORY / "docs/settings.md").read_text(encoding="utf-8")

SECRET = "hUnTeR2"

RATES = (
    ["1/1s", "10/15m", "10000/30d", "5/720h"],
    ["0/1m", "10", "10/0s", "10001/1m", "1/31d", "10/15", "-1/1m", "1.5/1m", "10/15 m", "١/1m"],
)
SECONDS = (["1", "900", "9" * 18], ["0", "-1", "1.5", "", " 1", "1s", "٣", "1e3", "9" * 19, SECRET])

PAGES_OF_APPS = (
    [
        "https://app.example/reset?a=b",
        "http://127.0.0.1:3000/x",
        "http://localhost/",
        "http://[::1]/",
    ],
    ["http://app.example/", "//a", "https://", "https://a/#b", "ftp://a/", "https://u@a/", "a\nb"],
)

NOWHERE = ["/dev/null/x", "/" + "a" * 300, "/\udcff"]
"""Paths at which nothing can ever be."""

VALUES: dict[str, tuple[list[str], list[str]]] = {
    "ENV": (["production", "test"], ["Production", "dev", SECRET]),
    "HOST": (["0.0.0.0", "::1", "localhost"], ["a\nb", " a"]),
    "PORT": (["0", "8000", "65535"], ["65536", "-1", "http", "8000.0", "０"]),
    "WORKERS": (["1", "256"], ["0", "257", "two"]),
    "OPERATIONS_BIND": (
        ["127.0.0.1:9000", "[::1]:0", "localhost:65535", "unix:/run/a b.sock"],
        [
            "9000",
            ":9000",
            "a:65536",
            "::1:9000",
            "unix:relative",
            "unix:/" + "x" * 107,
            "a:b",
            " a:1",
        ],
    ),
    "ADMIN_BIND": (
        ["127.0.0.1:9000", "[::1]:0", "localhost:65535", "unix:/run/a b.sock"],
        [
            "9000",
            ":9000",
            "a:65536",
            "::1:9000",
            "unix:relative",
            "unix:/" + "x" * 107,
            "a:b",
            " a:1",
        ],
    ),
    "DRAIN_DELAY": (["0", "5", "600"], ["601", "-1", "1.5", "soon"]),
    "DATA_DIR": (["var", "/tmp/x", "a b"], NOWHERE),
    "REDIS_URL": (
        [
            "redis://h:6379/0",
            f"rediss://u:{SECRET}@h",
            "unix:///run/redis.sock",
            f"redis+sentinel://u:{SECRET}@h:1,i/main",
            "rediss+cluster://h",
        ],
        [f"http://{SECRET}", SECRET, f"REDIS://{SECRET}"],
    ),
    "REDIS_MIN_REPLICAS": (["0", "2"], ["-1", "101", "one"]),
    "REDIS_ROLLBACK": (["replay", "cutoff", "refuse"], ["on", "Replay", "none"]),
    "REDIS_CONNECT_TIMEOUT_MS": (["10", "60000"], ["9", "60001", "1.5"]),
    "REDIS_REPLY_TIMEOUT_MS": (["10", "60000"], ["9", "60001", "1s"]),
    "DATABASE_URL": (
        ["sqlite:///a.db", "sqlite:////tmp/a.db", f"postgresql://u:{SECRET}@h/db?sslmode=require"],
        [SECRET, f"mysql://u:{SECRET}@h", f"postgresql+psycopg://u:{SECRET}@h/db"],
    ),
    "DATABASE_TIMEOUT_MS": (["10", "850", "60000"], ["9", "60001", "1s"]),
    "DATABASE_POOL": (["1", "8", "100"], ["0", "101", "-1", "8.0"]),
    "APP_NAME": (["Open Show & Söhne"], ["a\nb", " a", "a:b"]),
    "ISSUER": (
        ["https://id.example.com", "https://[::1]:8000/auth", "us"],
        ["a\tb", "a ", "https://[::1", "https://[x]/", "https://a℀b.example"],
    ),
    "AUDIENCE": (["api"], ["a\x1bb"]),
    "AUDIENCES": (
        ["shop", "https://shop.example, https://bank.example/api"],
        [
            "a,,b",
            "a b",
            "https://a.example/#x",
            "a,a",
            "a\nb",
            "x" * 256,
            ",".join(map(str, range(65))),
        ],
    ),
    "ACCESS_TTL": SECONDS,
    "REFRESH_TTL": SECONDS,
    "REFRESH_IDLE_TTL": SECONDS,
    "REFRESH_GRACE": SECONDS,
    "ENROLLMENT_TTL": SECONDS,
    "CHALLENGE_TTL": SECONDS,
    "REAUTH_TTL": SECONDS,
    "REAUTH_FOR_ENROLMENT": (["on", "off"], ["true", "ON", "1"]),
    "TOTP_AHEAD": (["on", "off"], ["true", "ON", "0"]),
    "RESET_TTL": SECONDS,
    "MAX_SESSIONS": (["1", "10000"], ["0", "10001", "many"]),
    "BCRYPT_COST": (["10", "16"], ["3", "17", "4", "9", SECRET]),
    "KMS": (["local", "aws", "vault", "pkcs11"], ["gcp", "AWS", SECRET]),
    "KMS_LOCAL_KEY_FILE": (["/run/secrets/key"], NOWHERE),
    "KMS_AWS_KEY": (["alias/a", "alias/new,arn:aws:kms:eu-central-1:1:key/x"], ["a\nb", "a,,b"]),
    "KMS_VAULT_KEY": (["openshow-auth"], ["a\nb"]),
    "KMS_VAULT_MOUNT": (["transit", "team/transit"], ["a\nb"]),
    "KMS_VAULT_TOKEN_FILE": (["/run/secrets/token"], []),
    "KMS_VAULT_ROLE_ID": (["5c2e"], ["a\nb"]),
    "KMS_VAULT_SECRET_ID": ([SECRET], []),
    "KMS_PKCS11_MODULE": (["/usr/lib/softhsm/libsofthsm2.so"], []),
    "KMS_PKCS11_TOKEN": (["openshow"], ["a\nb"]),
    "KMS_PKCS11_KEY": (["new,old"], ["a\nb", ","]),
    "KMS_PKCS11_PIN": ([SECRET], []),
    "KEY_AGE": SECONDS,
    "REQUIRE_TLS": (["on", "off"], ["true", "ON", "1"]),
    "PAGES": (["on", "off"], ["true", "ON", "1"]),
    "ORIGINS": (
        ["https://app.example", "http://localhost:5173,https://a-b.example:8443", "http://[::1]:1"],
        [
            *("*", "null", "https://app.example,*", "https://*.example", "https://app.example/"),
            *("https://app.example/path", "https://app.example,", "https://app.example:443"),
            *("http://app.example:80", "https://App.example", "HTTPS://app.example", "app.example"),
            *("ftp://app.example", "https://u@app.example", "https://app.example:0", "https://"),
            *("https://app.example:65536", "https://app.example?", "https://app.example#"),
            *("https://bücher.example", "https://a..example", "https://[::0001]", "https://a b"),
            *("file://", "https://app.example null", "https://-a.example"),
        ],
    ),
    "COOKIES": (["on", "off"], ["true", "ON", "1"]),
    "ROOT_PATH": (
        ["/id", "/a/b-c.d_e~f"],
        [
            "id",
            "/",
            "/id/",
            "//id",
            "/a//b",
            "/a/../b",
            "/.",
            "/a%62",
            "/a b",
            "/a?b",
            "/a#b",
            "/é",
        ],
    ),
    "TRUSTED_PROXIES": (["10.0.0.0/8", "10.0.0.1,fd00::/8", "::1"], ["10.0.0.1/8", "a", "1,,2"]),
    "MAIL_URL": (
        [f"smtp://u:{SECRET}@h:587?tls=required", "smtps://h", "file:///var/mail"],
        [f"http://{SECRET}", SECRET, "file://var", "mailto:a@b.de"],
    ),
    "MAIL_FROM": (["a@b.de", "A <a@b.de>"], ["a\nb"]),
    "MAIL_TEMPLATES": (["/etc/templates"], []),
    "MAIL_LOCALE": (["en", "de"], ["a\nb"]),
    "MAIL_MOST": (["64", "10000000"], ["63", "10000001", "-1", "many"]),
    "EMAIL_VERIFICATION": (["off"], ["on", "OFF", "Required"]),
    "NOTICES": (["on", "off"], ["true", "ON", "1"]),
    "RESET_URL": (PAGES_OF_APPS),
    "VERIFY_URL": (PAGES_OF_APPS),
    "PASSWORD_MIN": (["8", "15", "64"], ["7", "65", "0", "many"]),
    "PASSWORD_BLOCKLIST": (["/etc/passwords"], []),
    "OAUTH_REDIRECTS": (
        ["https://app.example/a?b=1", "http://127.0.0.1:1/,http://[::1]/x, com.example.app:/x"],
        ["http://app.example", "https://a.example/#x", "javascript:alert(1)", "a,,b", "https://"],
    ),
    "OAUTH_SIGNUP": (["on", "off"], ["true", "ON", "1"]),
    "LIMIT_ACCOUNT_NETWORK": RATES,
    "LIMIT_ACCOUNT": RATES,
    "LIMIT_NETWORK": RATES,
    "LIMIT_SIGNUPS": RATES,
    "LIMIT_RESETS": RATES,
    "LIMIT_CODES": RATES,
    "LIMIT_CODES_IN_A_ROW": (("1", "50", "10000"), ("0", "10001", "-1", "5.0", "10/15m")),
    "LIMIT_CALLS": RATES,
    "RATE_LIMIT": (["on", "off"], ["true", "ON", "0"]),
    "FEED_KINDS": (["1", "2", "3"], ["0", "4", "one"]),
    "EVENTS_AGE": SECONDS,
    "EVENTS_MAX": (["100", "20000", "10000000"], ["99", "10000001", "-1", "many"]),
    "TRACING": (["on", "off"], ["yes", "ON"]),
    "TRACE_RATIO": (["0", "1", "0.25"], ["2", "-1", "1e-3", "0,1"]),
    "SINK_FILE": (["/var/log/events.jsonl", "-"], [*NOWHERE, "/dev"]),
    "SINK_SQL": (["on", "off"], ["yes", "ON"]),
    "SINK_WEBHOOKS": (
        ["https://a.example/hook", "https://a.example/x?y=z, https://b.example:8443/"],
        [
            "a.example",
            "ftp://a.example/",
            "https://u:p@a.example/",
            "https://a.example/#x",
            "https://a.example/,https://a.example/",
            "https://a.example:99999/",
            "https://[x/",
        ],
    ),
    "SINK_NETWORKS": (["10.0.0.0/8", "127.0.0.0/8,::1/128"], ["10.0.0.1/8", "localhost"]),
    "LOG_LEVEL": (["debug", "info", "warning", "error"], ["INFO", "trace"]),
    "LOG_FORMAT": (["json", "console"], ["JSON", "text", "auto"]),
}

FIELDS = [name for name in Settings.__struct_fields__ if name != "oauth_providers"]
"""Those that one variable sets. Providers have a set each: below."""

GOOD = [(name, value) for name, (good, _) in VALUES.items() for value in good]
BAD = [(name, value) for name, (_, bad) in VALUES.items() for value in bad if value]


def read(**variables: str) -> Settings:
    return Settings.from_environment({"PATH": "/bin", **variables})


def refusal(**variables: str) -> str:
    """The line that stops the start."""
    try:
        read(**variables)
    except SettingsError as caught:
        line, shown = str(caught), caught
    else:
        pytest.fail(f"it is taken: {variables}")
    assert "\n" not in line
    assert SECRET not in line
    # What a traceback would show besides must not tell it either.
    assert shown.__cause__ is None
    assert shown.__suppress_context__ or shown.__context__ is None
    return line


def test_every_setting_is_tried() -> None:
    """The table above is complete."""
    assert [name.lower() for name in VALUES] == FIELDS


def test_a_good_value_is_taken() -> None:
    """It changes its own field and no other."""
    usual = Settings()
    for name, value in GOOD:
        settings = read(**{f"SERVICE_{name}": value})
        changed = {
            field
            for field in Settings.__struct_fields__
            if getattr(settings, field) != getattr(usual, field)
        }
        assert changed <= {name.lower()}, value
        if name.endswith("_TTL"):
            assert getattr(settings, name.lower()) >= timedelta(seconds=1), (name, value)


def test_a_bad_value_stops_the_start() -> None:
    """One line that begins with the variable, says what it must be, and repeats no secret."""
    for name, value in BAD:
        line = refusal(**{f"SERVICE_{name}": value})
        assert line.startswith(f"SERVICE_{name} must b"), value


def test_an_empty_value_counts_as_not_set() -> None:
    """As `SERVICE_X= command` and many deployment tools leave it."""
    assert read(**{f"SERVICE_{name}": "" for name in VALUES}) == Settings()


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("SERVICE_REDIS_URI", "SERVICE_REDIS_URL"),
        ("SERVICE_ACCES_TTL", "SERVICE_ACCESS_TTL"),
        ("SERVICE_access_ttl", "SERVICE_ACCESS_TTL"),
        ("SERVICE_PORT_FILE", "SERVICE_PORT"),
        ("SERVICE_REDIS_URL_FILE_FILE", "SERVICE_REDIS_URL"),
        ("SERVICE_QQQQQQ", "docs/settings.md"),
        ("SERVICE_", "docs/settings.md"),
    ],
)
def test_an_unknown_name_stops_the_start(name: str, near: str) -> None:
    """The line names it and what may have been meant."""
    line = refusal(**{name: SECRET})
    assert line.startswith(f"{name} is not a setting; ")
    assert near in line


def test_the_data_directory_is_for_what_lies_nowhere_else() -> None:
    """Needed unless sessions, accounts and the key are all kept elsewhere."""
    stores = {"redis_url": Secret("redis://h"), "database_url": Secret("postgresql://h/d")}
    assert not Settings(**stores, kms_local_key_file=Path("/run/key")).keeps_files
    assert not Settings(**stores, kms="vault").keeps_files
    assert Settings(**stores).keeps_files
    for name in stores:
        assert Settings(**stores | {name: Secret("")}, kms="vault").keeps_files


PROVIDER = {"SERVICE_OAUTH_MY1_ISSUER": "https://id.example", "SERVICE_OAUTH_MY1_CLIENT_ID": "us"}


def test_providers_are_sets_of_variables(tmp_path: Path) -> None:
    """Ordered by id; of those that are well known the issuer need not be named."""
    (tmp_path / "secret").write_text(SECRET + "\n")
    google = {
        "SERVICE_OAUTH_GOOGLE_CLIENT_ID": "us",
        "SERVICE_OAUTH_GOOGLE_CLIENT_SECRET_FILE": str(tmp_path / "secret"),
        "SERVICE_OAUTH_GOOGLE_TRUST_EMAIL": "on",
    }
    found = read(**PROVIDER, **google, SERVICE_OAUTH_MY1_SCOPES="openid  email profile")
    google_, my = found.oauth_providers
    assert (google_.id, google_.name, google_.issuer) == (
        "google",
        "Google",
        "https://accounts.google.com",
    )
    assert google_.client_secret == Secret(SECRET)
    assert SECRET not in repr(found)
    assert (google_.trust_email, my.trust_email) == (True, False)
    assert (my.id, my.scopes) == ("my1", ("openid", "email", "profile"))
    for preset in PRESETS:
        (made,) = read(**{f"SERVICE_OAUTH_{preset.upper()}_CLIENT_ID": "us"}).oauth_providers
        assert made.issuer == PRESETS[preset]["issuer"]
    assert read(**dict.fromkeys(PROVIDER, "")).oauth_providers == ()


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"SERVICE_OAUTH_X_CLIENT_ID": "us"}, "SERVICE_OAUTH_X_ISSUER must be set"),
        ({"SERVICE_OAUTH_X_ISSUER": "https://x.example"}, "SERVICE_OAUTH_X_CLIENT_ID must be set"),
        ({"SERVICE_OAUTH_X_CLIENT_SECRET": SECRET}, "SERVICE_OAUTH_X_ISSUER must be set"),
        ({"SERVICE_OAUTH_x_CLIENT_ID": "us"}, "SERVICE_OAUTH_x_CLIENT_ID is not a setting"),
        ({"SERVICE_OAUTH_A_B_CLIENT_ID": "us"}, "SERVICE_OAUTH_A_B_CLIENT_ID is not a setting"),
        ({"SERVICE_OAUTH_X_SECRET": SECRET}, "SERVICE_OAUTH_X_SECRET is not a setting"),
        (PROVIDER | {"SERVICE_OAUTH_MY1_TRUST_EMAIL": "yes"}, "SERVICE_OAUTH_MY1_TRUST_EMAIL must"),
        (PROVIDER | {"SERVICE_OAUTH_MY1_SCOPES": "email"}, "SERVICE_OAUTH_MY1_SCOPES must have"),
        (PROVIDER | {"SERVICE_OAUTH_MY1_SCOPES": 'a "b"'}, "SERVICE_OAUTH_MY1_SCOPES must be"),
        (
            PROVIDER
            | dict.fromkeys(
                ("SERVICE_OAUTH_MY1_CLIENT_SECRET", "SERVICE_OAUTH_MY1_CLIENT_SECRET_FILE"), SECRET
            ),
            "SERVICE_OAUTH_MY1_CLIENT_SECRET_FILE and",
        ),
        (
            PROVIDER | {"SERVICE_OAUTH_MY1_CLIENT_SECRET_FILE": "/nowhere"},
            "SERVICE_OAUTH_MY1_CLIENT_SECRET_FILE must be the path",
        ),
        *(
            (PROVIDER | {"SERVICE_OAUTH_MY1_ISSUER": issuer}, "SERVICE_OAUTH_MY1_ISSUER must be")
            for issuer in (
                "http://id.example",
                "id.example",
                "https://id.example?x",
                "https://u:p@id.example",
                "https://id.example/#x",
                "file:///etc",
                "http://localhost.example",
            )
        ),
    ],
    ids=range(18),
)
def test_a_provider_that_cannot_be(variables: dict[str, str], line: str) -> None:
    """One line that names the variable."""
    assert refusal(**variables).startswith(line)


def test_cheap_hashes_are_for_tests() -> None:
    """Under 10 is refused in production, and the line says what would allow it."""
    assert "SERVICE_ENV=test" in refusal(SERVICE_BCRYPT_COST="4")
    assert read(SERVICE_BCRYPT_COST="4", SERVICE_ENV="test").bcrypt_cost == 4


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    """Without its line end. Both at once, a bad content and a missing file are refused."""
    file = tmp_path / SECRET
    file.write_text(f"redis://u:{SECRET}@h\n")
    settings = read(SERVICE_REDIS_URL_FILE=str(file))
    assert settings.redis_url.reveal() == f"redis://u:{SECRET}@h"
    both = refusal(SERVICE_REDIS_URL_FILE=str(file), SERVICE_REDIS_URL="redis://h")
    assert both.startswith("SERVICE_REDIS_URL_FILE and SERVICE_REDIS_URL are both set")
    file.write_text(SECRET)
    assert refusal(SERVICE_REDIS_URL_FILE=str(file)).startswith("SERVICE_REDIS_URL_FILE must begin")
    file.write_bytes(b"\xff\xfe")
    assert "readable text file" in refusal(SERVICE_REDIS_URL_FILE=str(file))
    file.unlink()
    assert "readable text file" in refusal(SERVICE_REDIS_URL_FILE=str(file))
    os.mkfifo(file)
    for endless in ("/dev/zero", str(file)):  # a device without an end, a pipe without a writer
        assert refusal(SERVICE_REDIS_URL_FILE=endless).startswith("SERVICE_REDIS_URL_FILE must be")
    reading, writing = os.pipe()
    with open(writing, "wb") as pipe:
        pipe.write(b"redis://of-a-pipe\n")
    settings = read(SERVICE_REDIS_URL_FILE=f"/dev/fd/{reading}")
    assert settings.redis_url.reveal() == "redis://of-a-pipe"
    os.close(reading)


def test_a_path_through_a_loop_of_links_is_none(tmp_path: Path) -> None:
    """Nor is a folder of mails that is something else."""
    loop, file = tmp_path / "loop", tmp_path / "file"
    loop.symlink_to(loop)
    file.touch()
    for path in (loop, loop / "x"):
        assert refusal(SERVICE_DATA_DIR=str(path)).startswith("SERVICE_DATA_DIR must be another")
    for path in (loop, loop / "x", file, file / "x", "/x%00"):
        with pytest.raises(ValueError, match=r"^must "):
            mail_url.parse(f"file://{path}")
    assert mail_url.parse(f"file://{tmp_path / 'none' / 'yet'}").folder


def test_settings_show_no_secret() -> None:
    """Neither printed nor in an error."""
    settings = read(SERVICE_REDIS_URL=f"redis://u:{SECRET}@h", SERVICE_DATABASE_URL="sqlite:///a")
    assert SECRET not in f"{settings} {settings!r} {settings.redis_url} {[settings.redis_url]}"


def test_the_page_is_right() -> None:
    """docs/settings.md lists every variable with its default, and which may come from a file."""
    rows = re.findall(r"^\| `SERVICE_(\w+)` \| (?:`(.*?)`)? ?\|", PAGE, re.MULTILINE)
    assert [name.lower() for name, _ in rows] == FIELDS
    for name, default in rows:
        assert default == shown(getattr(Settings(), name.lower())), name
    secrets = PAGE.split("## Secrets\n")[1].split(" may hold")[0]
    assert {name.lower() for name in re.findall(r"SERVICE_(\w+)", secrets)} == Settings.SECRETS


def shown(value: object) -> str:
    """A default as the page spells it."""
    if isinstance(value, timedelta):
        return str(int(value.total_seconds()))
    if isinstance(value, bool):
        return "on" if value else "off"
    return "" if value in (None, ()) or isinstance(value, Secret) else str(value)


def run(**variables: str) -> subprocess.CompletedProcess[str]:
    """`python -m service serve` until it ends."""
    return run_command(["serve"], {"PATH": "/usr/bin:/bin", **variables})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One of our own, to be configured and killed."""
    server = RedisServer(available()["valkey"], tmp_path_factory.mktemp("valkey")).start()
    yield server
    server.stop()


@pytest.mark.parametrize(
    "variables",
    [
        {"SERVICE_ACCESS_TTL": SECRET},
        {"SERVICE_SECRET": SECRET},
        {"SERVICE_REDIS_URL": f"http://u:{SECRET}@h"},
        {"SERVICE_REDIS_URL": f"redis://u:{SECRET}@h:port"},
        {"SERVICE_DATABASE_URL": f"sqlite:///x?password={SECRET}"},
        {"SERVICE_DATABASE_URL": f"postgresql://u:{SECRET}@127.0.0.1:1/db"},
        {"SERVICE_DATABASE_URL": f"postgresql://u:a/{SECRET}@h/db"},
        {"SERVICE_DATABASE_URL": f"postgresql://u:{SECRET}@h/db?sslmode=odd"},
        {"SERVICE_KMS_LOCAL_KEY_FILE": "/nowhere/key"},
        {"SERVICE_HOST": "no such host"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_the_start_stops_with_one_line(
    server: RedisServer, tmp_path: Path, variables: dict[str, str]
) -> None:
    """On standard error, with a failing exit code, without a traceback or a secret."""
    defaults = {
        "SERVICE_REDIS_URL": server.url.reveal(),
        "SERVICE_DATA_DIR": str(tmp_path),
        "SERVICE_PORT": "0",
    }
    ended = run(**(defaults | variables))
    assert ended.returncode != 0
    [line] = ended.stderr.splitlines()
    assert next(iter(variables)) in line
    assert SECRET not in ended.stderr + ended.stdout
    assert "{" not in ended.stdout


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "volatile-random"])
def test_a_server_that_evicts_stops_the_start(
    server: RedisServer, tmp_path: Path, policy: str
) -> None:
    """One line that names setting and policy, and says what to change."""
    with server.client() as client:
        client.config_set("maxmemory-policy", policy)
        try:
            url = server.url.reveal()
            ended = run(SERVICE_REDIS_URL=url, SERVICE_DATA_DIR=str(tmp_path), SERVICE_PORT="0")
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert ended.returncode != 0
    [line] = ended.stderr.splitlines()
    assert "SERVICE_REDIS_URL" in line
    assert policy in line
    assert "noeviction" in line


async def test_a_start_without_redis(tmp_path: Path) -> None:
    """It serves at once, answers 503 with Retry-After, and recovers when Redis is there."""
    server = RedisServer(available()["valkey"], tmp_path)
    service = ServiceProcess(tmp_path, server.url).start()
    try:
        async with httpx.AsyncClient(base_url=service.url) as client:
            body = {"email": "a@example.com", "password": "correct horse battery"}
            for path in ("/auth/login", "/auth/signup"):
                answer = await client.post(path, json=body)
                assert answer.status_code == 503
                assert answer.json()["error"]["code"] == "service_unavailable"
                assert int(answer.headers["retry-after"]) >= 1
            assert (await client.get("/health/ready")).status_code == 503
            server.start()

            async def ready() -> bool:
                return (await client.get("/health/ready")).status_code == 200

            await eventually(ready)
            await sign_up(client)
    finally:
        assert service.stop() == 0
        server.stop()
