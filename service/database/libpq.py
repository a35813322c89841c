"""A PostgreSQL URL, read as libpq reads it; each parameter is honoured, or refused with the reason.

`postgresql://[user[:password]@][host[:port],…][/dbname][?parameter=value&…]`, as in "Connection
URIs" of PostgreSQL's documentation. A parameter that libpq does not know is a setting of the
session.
"""

import random
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from service.database.libpq_tls import tls
from service.database.libpq_values import choice, number, refuse, take_out_what_changes_nothing
from service.errors import SettingsError

SCHEMES = ("postgresql://", "postgres://")

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")
_SETTING = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?")
_OPTION = re.compile(r"(?:-c\s*|--)([A-Za-z_][\w.\-]*)=((?:\\.|\S)*)(?:\s+|$)")

_DRIVERS = {  # what asyncpg reads as libpq does: its own name for each
    "user": "user",
    "password": "password",
    "passfile": "passfile",
    "dbname": "database",
    "target_session_attrs": "target_session_attrs",
    "krbsrvname": "krbsrvname",
    "gsslib": "gsslib",
    "service": "service",
    "servicefile": "servicefile",
}

_TARGETS = ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")

_KEEPALIVE = ("keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout")

_OWN = ("statement_timeout", "idle_in_transaction_session_timeout")
_LESS_DURABLE = ("off", "local", "false", "no", "0")


class Parameters(msgspec.Struct, frozen=True):
    """The parameters of a URL. `repr` shows none of them."""

    driver: Mapping[str, Any]
    """Arguments of `asyncpg.connect`."""
    session: Mapping[str, str] = {}
    """Settings of the session, to be set once connected."""
    name: str = ""
    """`application_name`."""
    connect_timeout: float | None = None
    keepalives: bool = True
    keepalive: Mapping[str, int] = {}
    """`_KEEPALIVE` and values, of those that are given."""
    shuffles: bool = False

    def __repr__(self) -> str:
        return "Parameters('***')"

    def arguments(self) -> dict[str, Any]:
        """Make the arguments of `asyncpg.connect`, with the hosts in the order to try them."""
        arguments = dict(self.driver)
        hosts, ports = arguments.get("host"), arguments.get("port")
        if self.shuffles and hosts and len(hosts) > 1:
            pairs = list(zip(hosts, ports or [5432] * len(hosts), strict=True))
            random.shuffle(pairs)  # spreads load, keeps no secret
            arguments["host"], arguments["port"] = map(list, zip(*pairs, strict=True))
        return arguments


def is_postgresql(url: str) -> bool:
    """Tell whether a URL has libpq's scheme."""
    return url.startswith(SCHEMES)


def read(url: str) -> Parameters:
    """Read the parameters that `url` gives.

    Raises:
        SettingsError: it cannot be read, or asks for what cannot be had; names the parameter, and
            shows no value of one that may be secret.
    """
    places, given = _split(url)
    if given.pop("ssl", "") == "true":  # as JDBC has it, and libpq understands
        given.setdefault("sslmode", "require")
    take_out_what_changes_nothing(given)
    if choice(dict(given), "target_session_attrs", _TARGETS) == "any":
        given.pop("target_session_attrs", None)  # empty, too
    hosts = _hosts(places, given)
    taken: dict[str, Any] = {
        _DRIVERS[key]: given.pop(key) for key in list(given) if key in _DRIVERS
    }
    return Parameters(
        driver=taken | hosts | tls(given),
        name=given.pop("application_name", "") or given.pop("fallback_application_name", ""),
        connect_timeout=_timeout(given),
        keepalives=number(given, "keepalives", 1) != 0,
        keepalive={key: number(given, key) for key in _KEEPALIVE if key in given},
        shuffles=choice(given, "load_balance_hosts", ("disable", "random")) == "random",
        session=_session(given),
    )


def _decode(text: str, what: str) -> str:
    if _BAD_ESCAPE.search(text):
        refuse(what, "it has a % that does not begin an escape; write %25")
    return unquote(text)


def _split(url: str) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """Split a URL into hosts with ports, and parameters by name, where libpq splits it."""
    rest = url.partition("://")[2]
    parts: dict[str, str] = {}
    end = re.search(r"[@/]", rest)
    if end and end[0] == "@":
        user, colon, password = rest[: end.start()].partition(":")
        rest = rest[end.end() :]
        if user:
            parts["user"] = _decode(user, "the user")
        if colon and password:
            parts["password"] = _decode(password, "the password")
    head, question, query = rest.partition("?")
    places, _, database = head.partition("/")
    if database:
        parts["dbname"] = _decode(database, "the database's name")
    for piece in query.split("&") if question and query else []:
        key, equals, value = piece.partition("=")
        if not equals or "=" in value:
            refuse(_shown(key), "a parameter is name=value, and = in a value is %3D")
        parts[_decode(key, "a parameter's name")] = _decode(value, _shown(key))
    return [_place(place) for place in places.split(",")] if places else [], parts


def _shown(key: str) -> str:
    """Return a parameter's name if it is one: in a mangled URL it may be part of a password."""
    return key if _SETTING.fullmatch(key) else "a parameter"


def _place(place: str) -> tuple[str, str]:
    found = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::([0-9]*))?", place)
    if found is None:
        raise SettingsError(
            "SERVICE_DATABASE_URL must name a host, host:port or [IPv6 address]:port, or several"
            " with commas between"
        )
    host = _decode(found[1], "a host")
    return host[1:-1] if host.startswith("[") else host, found[2] or ""


def _hosts(places: list[tuple[str, str]], given: dict[str, str]) -> dict[str, Any]:
    """Make `host` and `port` for the driver; parameters override what stands before the path."""
    hosts = [host for host, _ in places]
    ports = [port for _, port in places]
    if given.get("host"):
        hosts = given["host"].split(",")
    if given.get("hostaddr"):
        addresses = given["hostaddr"].split(",")
        if any(hosts) and given.get("sslmode") == "verify-full":
            refuse("hostaddr", "sslmode=verify-full needs the name of the host alone")
        hosts = addresses
    if given.get("port"):
        ports = given["port"].split(",")
    for key in ("host", "hostaddr", "port"):
        given.pop(key, None)
    if len(ports) == 1:
        ports *= max(1, len(hosts))
    answer: dict[str, Any] = {}
    if any(hosts):
        answer["host"] = [host or "localhost" for host in hosts]
        if ports and len(ports) != len(hosts):
            refuse("port", "there must be one, or one for each host")
    if any(ports):
        answer["port"] = [_port(port) for port in ports]
        if not any(hosts) and len(ports) == 1:
            answer["port"] = answer["port"][0]
    return answer


def _port(text: str) -> int:
    if not text:
        return 5432
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 65_535):
        refuse("port", "it is a number from 1 to 65535")
    return int(text)


def _timeout(given: dict[str, str]) -> float | None:
    seconds = number(given, "connect_timeout", 0)
    return float(seconds) if seconds > 0 else None


def _session(given: dict[str, str]) -> dict[str, str]:
    """Read the session's settings: from `options`, and parameters that libpq does not know."""
    settings: dict[str, str] = {}
    given.pop("fallback_application_name", None)
    options = given.pop("options", "").strip()
    at = 0
    while at < len(options):
        found = _OPTION.match(options, at)
        if found is None:
            refuse("options", "only -c name=value and --name=value can be set")
        settings[found[1].replace("-", "_").lower()] = re.sub(r"\\(.)", r"\1", found[2])
        at = found.end()
    for key, value in given.items():
        if not _SETTING.fullmatch(key):
            refuse("a parameter", "its name is none that PostgreSQL knows")
        settings[key] = value
    for key in _OWN:
        if key in settings:
            refuse(key, "it follows from SERVICE_DATABASE_TIMEOUT_MS")
    if settings.get("synchronous_commit", "on").lower() in _LESS_DURABLE:
        refuse("synchronous_commit", "what is answered must be on disk")
    return settings
