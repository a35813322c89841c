"""A PostgreSQL URL, read as libpq reads it; each parameter is honoured, or refused with the reason.

`postgresql://[user[:password]@][host[:port],…][/dbname][?parameter=value&…]`, as in "Connection
URIs" of PostgreSQL's documentation. A parameter that libpq does not know is a setting of the
session.
"""

import random
import re
import ssl
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import quote, unquote, urlencode

import msgspec

from service.errors import StartupError

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

_ONLY = {  # honoured in that nothing else can be had
    "channel_binding": ("disable", "prefer"),
    "gssencmode": ("disable", "prefer"),
    "gssdelegation": ("0",),
    "client_encoding": ("utf8", "utf-8", "auto", "unicode"),
    "sslcertmode": ("allow",),
    "sslcompression": ("0", "1"),  # libpq itself does not compress any more
    "sslsni": ("1",),
    "replication": ("false", "off", "no", "0"),
    "min_protocol_version": ("3.0",),
    "max_protocol_version": ("3.0", "latest"),
}

_WHY_NOT = {
    "channel_binding": "the driver does no channel binding; sslmode=verify-full knows the server",
    "gssencmode": "the driver does not encrypt with GSSAPI; use TLS",
    "gssdelegation": "the driver does not delegate credentials",
    "client_encoding": "this service speaks UTF-8",
    "sslcertmode": "the driver sends the client certificate that it is given; leave sslcert out",
    "sslcompression": "it is 0 or 1",
    "sslsni": "the driver always names the server in TLS",
    "replication": "this service needs an ordinary connection",
    "min_protocol_version": "the driver speaks version 3.0",
    "max_protocol_version": "the driver speaks version 3.0",
    "sslcrldir": "the driver reads one file; use sslcrl",
    "requirepeer": "the driver does not look who owns a socket",
    "require_auth": "the driver cannot be kept to a method; sslmode=verify-full knows the server",
    "sslkeylogfile": "keys of a connection must not be written to a file",
    "scram_client_key": "the driver takes a password",
    "scram_server_key": "the driver takes a password",
    "oauth_issuer": "the driver does no OAuth",
    "oauth_client_id": "the driver does no OAuth",
    "oauth_client_secret": "the driver does no OAuth",
    "oauth_scope": "the driver does no OAuth",
    "authtype": "libpq does not read it any more",
    "tty": "libpq does not read it any more",
}

_TLS = ("sslmode", "sslcert", "sslkey", "sslpassword", "sslrootcert", "sslcrl")
_TLS_VERSIONS = ("ssl_min_protocol_version", "ssl_max_protocol_version")
_KEEPALIVE = ("keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout")
_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

_OWN = ("statement_timeout", "idle_in_transaction_session_timeout")
_LESS_DURABLE = ("off", "local", "false", "no", "0")


class Parameters(msgspec.Struct, frozen=True):
    """What a URL says. `repr` shows none of it."""

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
        """Those for `asyncpg.connect`, with the hosts in the order to try them."""
        arguments = dict(self.driver)
        hosts, ports = arguments.get("host"), arguments.get("port")
        if self.shuffles and hosts and len(hosts) > 1:
            pairs = list(zip(hosts, ports or [5432] * len(hosts), strict=True))
            random.shuffle(pairs)  # spreads load, keeps no secret
            arguments["host"], arguments["port"] = map(list, zip(*pairs, strict=True))
        return arguments


def is_postgresql(url: str) -> bool:
    """Whether a URL has libpq's scheme."""
    return url.startswith(SCHEMES)


def read(url: str) -> Parameters:
    """What `url` says.

    Raises:
        StartupError: it cannot be read, or asks for what cannot be had; names the parameter, and
            shows no value of one that may be secret.
    """
    places, given = _split(url)
    if given.pop("ssl", "") == "true":  # as JDBC has it, and libpq understands
        given.setdefault("sslmode", "require")
    for key, allowed in _ONLY.items():
        if key in given and given.pop(key).lower() not in allowed:
            _refuse(key, _WHY_NOT[key])
    for key in _WHY_NOT:
        if key in given:
            _refuse(key, _WHY_NOT[key])
    hosts = _hosts(places, given)
    taken: dict[str, Any] = {
        _DRIVERS[key]: given.pop(key) for key in list(given) if key in _DRIVERS
    }
    return Parameters(
        driver=taken | hosts | _tls(given),
        name=given.pop("application_name", "") or given.pop("fallback_application_name", ""),
        connect_timeout=_timeout(given),
        keepalives=_number(given, "keepalives", 1) != 0,
        keepalive={key: _number(given, key) for key in _KEEPALIVE if key in given},
        shuffles=_choice(given, "load_balance_hosts", ("disable", "random")) == "random",
        session=_session(given),
    )


def _refuse(key: str, why: str) -> NoReturn:
    raise StartupError(f"SERVICE_DATABASE_URL: {key} cannot be used as it is: {why}")


def _decode(text: str, what: str) -> str:
    if _BAD_ESCAPE.search(text):
        _refuse(what, "it has a % that does not begin an escape; write %25")
    return unquote(text)


def _split(url: str) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """Hosts with ports, and parameters by name. Where each part ends, libpq decides."""
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
            _refuse(_shown(key), "a parameter is name=value, and = in a value is %3D")
        parts[_decode(key, "a parameter's name")] = _decode(value, _shown(key))
    return [_place(place) for place in places.split(",")] if places else [], parts


def _shown(key: str) -> str:
    """A parameter's name, if it is one: of a mangled URL it may be a piece of a password."""
    return key if _SETTING.fullmatch(key) else "a parameter"


def _place(place: str) -> tuple[str, str]:
    found = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::([0-9]*))?", place)
    if found is None:
        raise StartupError(
            "SERVICE_DATABASE_URL must name a host, host:port or [IPv6 address]:port, or several"
            " with commas between"
        )
    host = _decode(found[1], "a host")
    return host[1:-1] if host.startswith("[") else host, found[2] or ""


def _hosts(places: list[tuple[str, str]], given: dict[str, str]) -> dict[str, Any]:
    """`host` and `port` for the driver; a parameter counts more than the place before it."""
    hosts = [host for host, _ in places]
    ports = [port for _, port in places]
    if given.get("host"):
        hosts = given["host"].split(",")
    if given.get("hostaddr"):
        addresses = given["hostaddr"].split(",")
        if any(hosts) and given.get("sslmode") == "verify-full":
            _refuse("hostaddr", "sslmode=verify-full needs the name of the host alone")
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
            _refuse("port", "there must be one, or one for each host")
    if any(ports):
        answer["port"] = [_port(port) for port in ports]
        if not any(hosts) and len(ports) == 1:
            answer["port"] = answer["port"][0]
    return answer


def _port(text: str) -> int:
    if not text:
        return 5432
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 65_535):
        _refuse("port", "it is a number from 1 to 65535")
    return int(text)


def _tls(given: dict[str, str]) -> dict[str, Any]:
    """`ssl` for the driver, and whether TLS comes at once."""
    given_tls = {key: given.pop(key) for key in (*_TLS, *_TLS_VERSIONS) if given.get(key)}
    direct = _choice(given, "sslnegotiation", ("postgres", "direct")) == "direct"
    system = given_tls.get("sslrootcert") == "system"
    mode = given_tls.get("sslmode", "verify-full" if system else "")
    if mode and mode not in _MODES:
        _refuse("sslmode", "it is one of " + ", ".join(_MODES))
    if system and mode != "verify-full":
        _refuse("sslrootcert", "system needs sslmode=verify-full")
    if direct and mode not in ("require", "verify-ca", "verify-full"):
        _refuse("sslnegotiation", "direct needs sslmode=require, verify-ca or verify-full")
    answer: dict[str, Any] = {"direct_tls": True} if direct else {}
    if not given_tls:
        return answer
    if system:
        return answer | {"ssl": _context(given_tls)}
    # The driver reads these from a URL alone, and only from there.
    return answer | {"dsn": "postgresql://?" + urlencode(given_tls, quote_via=quote)}


def _context(given: Mapping[str, str]) -> ssl.SSLContext:
    """TLS that trusts what the system trusts."""
    context = ssl.create_default_context()
    try:
        if crl := given.get("sslcrl"):
            context.load_verify_locations(crl)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
        if certificate := given.get("sslcert"):
            password = given.get("sslpassword", "")
            context.load_cert_chain(certificate, given.get("sslkey"), lambda: password)
    except (OSError, ssl.SSLError) as error:
        raise StartupError(
            f"SERVICE_DATABASE_URL: sslcert, sslkey or sslcrl cannot be used: {error.strerror}"
        ) from None
    for key, bound in zip(_TLS_VERSIONS, ("minimum_version", "maximum_version"), strict=True):
        if version := given.get(key):
            name = version.replace(".", "_")
            if name not in ssl.TLSVersion.__members__:
                _refuse(key, "it is TLSv1.2 or TLSv1.3")
            setattr(context, bound, ssl.TLSVersion[name])
    context.set_alpn_protocols(["postgresql"])
    return context


def _timeout(given: dict[str, str]) -> float | None:
    seconds = _number(given, "connect_timeout", 0)
    return float(seconds) if seconds > 0 else None


def _number(given: dict[str, str], key: str, default: int = 0) -> int:
    text = given.pop(key, "").strip() or str(default)
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        _refuse(key, "it is a whole number")
    return int(text)


def _choice(given: dict[str, str], key: str, choices: tuple[str, ...]) -> str:
    value = given.pop(key, "") or choices[0]
    if value not in choices:
        _refuse(key, "it is " + " or ".join(choices))
    return value


def _session(given: dict[str, str]) -> dict[str, str]:
    """Settings of the session: those in `options`, and each parameter that libpq does not know."""
    settings: dict[str, str] = {}
    given.pop("fallback_application_name", None)
    options = given.pop("options", "").strip()
    at = 0
    while at < len(options):
        found = _OPTION.match(options, at)
        if found is None:
            _refuse("options", "only -c name=value and --name=value can be set")
        settings[found[1].replace("-", "_").lower()] = re.sub(r"\\(.)", r"\1", found[2])
        at = found.end()
    for key, value in given.items():
        if not _SETTING.fullmatch(key):
            _refuse("a parameter", "its name is none that PostgreSQL knows")
        settings[key] = value
    for key in _OWN:
        if key in settings:
            _refuse(key, "it follows from SERVICE_DATABASE_TIMEOUT_MS")
    if settings.get("synchronous_commit", "on").lower() in _LESS_DURABLE:
        _refuse("synchronous_commit", "what is answered must be on disk")
    return settings
