"""Who may import whom. A room is a package or module right under `service/`.

Composition imports everything; `web` imports use cases; use cases import what they work on; leaves
import errors and their one client. So HTTP, Redis, SQL and cryptography stay in their own rooms.
"""

import ast
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from tools.testbed.redis_server import REPOSITORY

EVERYTHING = "*"

ROOMS = {
    # composition
    "__main__": "cli",
    "cli": EVERYTHING,
    "serving": EVERYTHING,
    "app": EVERYTHING,
    "composition": EVERYTHING,
    # all that knows HTTP
    "web": (
        "operators api_keys relying_parties authentication account_lifecycle confirmations "
        "events sessions twofactor readiness tracing accounts clock errors logs streams repeating "
        "reply_times"
    ),
    # use cases
    "operators": (
        "api_keys relying_parties events confirmations authentication account_lifecycle sessions "
        "twofactor mail tickets accounts redis clock errors"
    ),
    "authentication": (
        "account_lifecycle rate_limits sessions twofactor mail tickets accounts openid keyring "
        "redis clock errors"
    ),
    "relying_parties": (
        "sinks events sessions access_tokens keyring database redis repeating clock errors"
    ),
    "sinks": "events keyring database redis daemon_thread repeating errors",
    "rollback": "sessions database redis errors",
    "events": "sessions redis clock errors",
    "account_lifecycle": "mail sessions twofactor tickets accounts redis clock errors",
    "api_keys": "rate_limits sessions redis database opaque_tokens clock errors",
    "twofactor": "mail rate_limits sessions accounts keyring redis clock errors",
    "mail": "tickets sessions keyring accounts redis settings repeating clock errors",
    "tickets": "sessions keyring redis opaque_tokens clock errors",
    "confirmations": "access_tokens keyring redis repeating clock errors",
    "sessions": "access_tokens keyring redis opaque_tokens clock errors",
    "rate_limits": "redis rates errors",
    # what app pods mount: see also `test_the_guard_stands_alone`
    "guard": "access_tokens redis",
    "readiness": "database redis repeating errors",
    # leaves
    "accounts": "database repeating clock errors",
    "keyring": "database settings tracing daemon_thread repeating clock errors",
    "tracing": "database redis",
    "openid": "settings clock errors",
    "access_tokens": "",
    "embedded": "settings redis errors",
    "redis": "settings rates reply_times repeating errors",
    "database": "errors",
    "settings": "rates errors",
    "rates": "",
    "opaque_tokens": "",
    "logs": "streams console_log",
    "console_log": "",
    "streams": "line_writer",
    "line_writer": "",
    "reply_times": "",
    "repeating": "errors",
    "clock": "",
    "daemon_thread": "",
    "errors": "",
}
"""Which rooms a room may import."""

LIBRARIES = {
    "litestar": "web app serving composition guard",
    "fastapi": "guard",
    "pytest": "guard",
    "django": "guard",
    "asgiref": "guard",
    "rest_framework": "guard",
    "httpx": "guard openid",
    "uvicorn": "serving web",
    "httptools": "web",
    "prometheus_client": "web guard",
    "redis": "redis rollback guard embedded cli",
    "hiredis": "redis guard",
    "alembic": "database",
    "asyncpg": "database",
    "aiosqlite": "database",
    "sqlalchemy": (
        "sinks rollback relying_parties database accounts api_keys keyring readiness tracing "
        "composition cli"
    ),
    "bcrypt": "accounts",
    "email_validator": "accounts",
    "idna": "accounts database mail",
    "aiosmtplib": "mail",
    "zxcvbn": "accounts",
    "cryptography": "sinks keyring sessions guard access_tokens openid opaque_tokens",
    "boto3": "keyring",
    "botocore": "keyring",
    "hvac": "keyring",
    "requests": "keyring",  # what hvac asks by
    "urllib3": "keyring",
    "pkcs11": "keyring",
    "pyotp": "twofactor",
    "jwt": "sessions guard access_tokens openid",
    "segno": "web",
    "opentelemetry": "tracing web guard",
    "swagger_ui_bundle": "web",
    "msgspec": EVERYTHING,
    "structlog": EVERYTHING,
}
"""Which rooms may import a library from outside."""


PACKAGE = REPOSITORY / "service"
NAMES = PACKAGE / "openshow_guard"
"""The modules that apps import; they hold in the wheel only, where tests/guard looks at them."""


def shipped() -> list[Path]:
    """What `openshow-guard` is made of, besides `NAMES`."""
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))
    parts = [PACKAGE / part for part in project["tool"]["hatch"]["build"]["only-include"]]
    return [part for part in parts if part != NAMES]


def name_of(path: Path) -> str:
    """The dotted name of a module or package of the service."""
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)


SHIPPED = [
    path for part in shipped() for path in (sorted(part.rglob("*.py")) if part.is_dir() else [part])
]

GUARD = {
    "": " ".join(
        ["msgspec jwt cryptography httpx redis"]
        + [name_of(part) for part in shipped() if part.name != "__init__.py"]
    ),
    "replies": "hiredis",
    "litestar": "litestar",
    "fastapi": "fastapi",
    "pytest_plugin": "pytest",
    "metrics": "prometheus_client opentelemetry",
    "django": "django asgiref",
    "django_auth": "django",
    "rest_framework": "rest_framework",
}
"""What all of `service/guard` may import, and what some modules of it may besides."""


def allowed(names: str, name: str) -> bool:
    return names == EVERYTHING or name in names.split()


@cache
def source_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def imports_in(source: str) -> list[ast.Import | ast.ImportFrom]:
    """The statements that import, wherever in a module."""
    nodes = ast.walk(ast.parse(source))
    return [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]


def imports(source: str, importer: str = "") -> Iterator[str]:
    """The dotted names that a module imports, wherever in it. `importer`: its own."""
    for node in imports_in(source):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = importer.rsplit(".", node.level)[0] if node.level else ""
            module = ".".join(filter(None, (above, node.module)))
            yield from (f"{module}.{name.name}" for name in node.names)


def violations(room: str, source: str, importer: str = "") -> list[str]:
    """What a module in this room must not import."""
    found = []
    for name in imports(source, importer or f"service.{room}.planted"):
        library, _, rest = name.partition(".")
        if library == "service":
            target = rest.partition(".")[0]
            inside = target == room or target.startswith("__version")
            if not inside and not allowed(ROOMS[room], target):
                found.append(f"{room} → {target}")
        elif library not in sys.stdlib_module_names and not allowed(
            LIBRARIES.get(library, ""), room
        ):
            found.append(f"{room} → {library}")
    return found


def beyond_the_guard(module: str, source: str, room: str = "guard") -> list[str]:
    """What a module of the guard imports that an app pod does not have."""
    names = [*GUARD[""].split(), *GUARD.get(module, "").split(), *sys.stdlib_module_names]
    allowed = tuple(f"{name}." for name in names)
    found = imports(source, f"service.{room}.{module}")
    return [name for name in found if not f"{name}.".startswith(allowed)]


def modules() -> list[tuple[str, Path]]:
    files = [path for path in PACKAGE.rglob("*.py") if NAMES not in path.parents]
    files.remove(PACKAGE / "__init__.py")
    return [(path.relative_to(PACKAGE).with_suffix("").parts[0], path) for path in sorted(files)]


def test_who_imports_whom() -> None:
    """Each module imports only what the tables above let its room import."""
    found = {path: violations(room, source_of(path), name_of(path)) for room, path in modules()}
    assert len(found) > 300
    assert {name_of(path): wrong for path, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("web", "import redis"),
        ("web", "from redis.asyncio import Redis"),
        ("web", "def f():\n    from sqlalchemy import select"),
        ("web", "import jwt"),
        ("web", "import bcrypt"),
        ("web", "from cryptography import x509"),
        ("web", "from service import redis"),
        ("web", "from service.redis.client import RedisClient"),
        ("sessions", "from litestar import Request"),
        ("sessions", "from service.web.errors import TABLE"),
        ("sessions", "import redis"),
        ("authentication", "from litestar import Request"),
        ("redis", "from service.sessions import record"),
        ("accounts", "import service.authentication.password"),
        ("database", "from service.web import requests"),
        ("keyring", "from service.sessions.record import Session"),
        ("errors", "import litestar"),
        ("sessions", "import boto3"),
        ("guard", "from ..sessions import record"),
        ("guard", "from .. import errors"),
    ],
)
def test_the_check_finds(room: str, source: str) -> None:
    """Planted in a room, each of these is reported."""
    assert len(violations(room, source)) == 1


def test_the_guard_stands_alone() -> None:
    """It runs in other people's processes, with neither the service nor its dependencies."""
    found = {
        path: beyond_the_guard(path.stem, source_of(path))
        for path in (PACKAGE / "guard").glob("*.py")
    }
    assert len(found) > 20
    assert {name_of(path): names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "path", [*(REPOSITORY / "scripts/tools/load").glob("*.py")], ids=lambda p: p.stem
)
def test_load_comes_from_outside(path: Path) -> None:
    """The load generator knows the service over HTTP only."""
    named = set(imports(path.read_text(encoding="utf-8")))
    assert {name for name in named if name.startswith(("service.", "tests."))} <= {
        "service.cli.progress.Progress"
    }
    others = {name for name in named if name.startswith("tools.")}
    assert {
        name
        for name in others
        if not name.startswith(("tools.load.", "tools.http_load.", "tools.report."))
    } <= {"tools.seed.line.Line"}


@pytest.mark.parametrize(
    "path", [*(REPOSITORY / "scripts/tools/http_load").glob("*.py")], ids=lambda p: p.stem
)
def test_the_load_engine_is_a_leaf(path: Path) -> None:
    """What bench and load share brings nothing of either, nor of the service, along."""
    named = imports(path.read_text(encoding="utf-8"))
    ours = [name for name in named if name.startswith(("service.", "tests.", "tools."))]
    assert all(name.startswith("tools.http_load.") for name in ours)


def test_the_line_of_tokens_is_a_leaf() -> None:
    """What the seeder and the load generator share brings nothing of the service along."""
    source = (REPOSITORY / "scripts/tools/seed/line.py").read_text(encoding="utf-8")
    assert set(imports(source)) == {"msgspec"}


def test_what_the_guard_shares_is_a_leaf() -> None:
    """The modules that it has in common with the service bring nothing else along."""
    found = {
        path: beyond_the_guard(path.stem, source_of(path), path.relative_to(PACKAGE).parts[0])
        for path in SHIPPED
    }
    assert found
    assert {name_of(path): names for path, names in found.items() if names} == {}


def test_what_has_two_names_imports_relatively() -> None:
    """What ships as `openshow_guard` too finds its modules under both names; all else has one."""
    for _, path in modules():
        for node in imports_in(source_of(path)):
            if isinstance(node, ast.ImportFrom) and node.level:
                assert path in SHIPPED
            elif path in SHIPPED:
                names = [getattr(node, "module", None), *(name.name for name in node.names)]
                assert "service" not in [str(name).partition(".")[0] for name in names], path


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("asgi", "import litestar"),
        ("fastapi", "from litestar import get"),
        ("verifier", "import structlog"),
        ("verifier", "from service.redis import client"),
        ("verifier", "from service.redis.keys_of_others import bucket"),
        ("verifier", "from service.errors import StartupError"),
        ("verifier", "from service import __version__"),
        ("verifier", "from ..redis import client"),
        ("verifier", "from .. import errors"),
    ],
)
def test_the_check_of_the_guard_finds(module: str, source: str) -> None:
    """Planted in the guard, each of these is reported."""
    assert len(beyond_the_guard(module, source)) == 1


HTTP = ("http", "httpx", "litestar", "urllib.request", "uvicorn", "service.web", "service.serving")


@pytest.mark.parametrize(
    "path", [*(REPOSITORY / "scripts/tools/seed").glob("*.py")], ids=lambda p: p.stem
)
def test_the_seeder_knows_no_http(path: Path) -> None:
    """It fills the stores through the use cases, and is no other script's guest."""
    forbidden = tuple(f"{name}." for name in (*HTTP, "tools.bench", "tools.load", "tests"))
    found = imports(path.read_text(encoding="utf-8"))
    assert [name for name in found if f"{name}.".startswith(forbidden)] == []


def test_files_fit_in_the_head() -> None:
    """What has become longer holds two things: one of them gets a module whose name says it."""
    lines = {path: len(source_of(path).splitlines()) for path in PACKAGE.rglob("*.py")}
    assert len(lines) > 300
    assert {str(path): count for path, count in lines.items() if count > 250} == {}


def test_nothing_imports_circularly() -> None:
    """No room imports one that comes before it in the table."""
    order = list(ROOMS)
    for room, names in ROOMS.items():
        if names != EVERYTHING:
            assert all(order.index(name) > order.index(room) for name in names.split()), room
