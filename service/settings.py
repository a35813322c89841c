"""Settings: `SERVICE_*` environment variables, checked once at the start.

A variable that is wrong or unknown raises `SettingsError` with one line that names it. The table of
all settings stands in `docs/settings.md`; a test holds it against this file.
"""

import difflib
import ipaddress
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec

from service.errors import SettingsError
from service.rates import Rate
from service.rates import parse as rate_of

PREFIX = "SERVICE_"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_LONGEST = timedelta(days=36_500)  # longer lives are cut to this, lest clock arithmetic overflow


class Secret:
    """A text that must not be seen: `repr` and `str` are masked, `reveal()` gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "Secret('***')" if self._text else "Secret('')"

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def reveal(self) -> str:
        """The text itself. Call it where the text is used, nowhere earlier."""
        return self._text


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The checked settings. Empty `redis_url` and `database_url` mean the ones in the data dir."""

    env: Literal["production", "test"] = "production"
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    drain_delay: timedelta = timedelta(0)
    data_dir: Path = Path("var")
    redis_url: Secret = Secret("")
    redis_min_replicas: int = 0
    redis_connect_timeout_ms: int = 500
    redis_reply_timeout_ms: int = 1000
    database_url: Secret = Secret("")
    database_timeout_ms: int = 850  # twice this is within the two seconds that a call may take
    database_pool: int = 8  # of ten pods with one worker: fits into the usual limit of 100
    app_name: str = "OpenShow"
    issuer: str = "http://127.0.0.1:8000"
    audience: str = "openshow"
    access_ttl: timedelta = timedelta(seconds=900)
    refresh_ttl: timedelta = timedelta(days=30)
    refresh_idle_ttl: timedelta = timedelta(days=14)
    refresh_grace: timedelta = timedelta(seconds=10)
    enrollment_ttl: timedelta = timedelta(seconds=600)
    challenge_ttl: timedelta = timedelta(seconds=300)
    max_sessions: int = 50
    bcrypt_cost: int = 12
    kms: Literal["local", "aws", "vault", "pkcs11"] = "local"
    kms_local_key_file: Path | None = None
    kms_aws_key: tuple[str, ...] = ()
    kms_vault_key: str = "openshow-auth"
    kms_vault_mount: str = "transit"
    kms_vault_token_file: Path | None = None
    kms_vault_role_id: str = ""
    kms_vault_secret_id: Secret = Secret("")
    kms_pkcs11_module: Path | None = None
    kms_pkcs11_token: str = ""
    kms_pkcs11_key: tuple[str, ...] = ()
    kms_pkcs11_pin: Secret = Secret("")
    key_age: timedelta = timedelta(days=90)
    pages: bool = False
    trusted_proxies: tuple[Network, ...] = ()
    password_min: int = 8
    password_blocklist: Path | None = None
    limit_account_network: Rate = Rate(10, timedelta(minutes=15))
    limit_account: Rate = Rate(100, timedelta(hours=1))
    limit_network: Rate = Rate(300, timedelta(minutes=15))
    limit_signups: Rate = Rate(600, timedelta(hours=1))
    limit_codes: Rate = Rate(10, timedelta(minutes=15))
    limit_calls: Rate = Rate(60, timedelta(minutes=1))
    rate_limit: bool = True
    events_age: timedelta = timedelta(days=7)
    events_max: int = 20_000
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    SECRETS: ClassVar[frozenset[str]] = frozenset(
        {"redis_url", "database_url", "kms_vault_secret_id", "kms_pkcs11_pin"}
    )

    @property
    def keeps_files(self) -> bool:
        """Whether something lies in `data_dir`, which a pod without a disk must not need."""
        key_is_elsewhere = self.kms != "local" or self.kms_local_key_file is not None
        return not (self.redis_url and self.database_url and key_is_elsewhere)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Read and check all `SERVICE_*` variables of `environ`. An empty one counts as not set.

        Raises:
            SettingsError: one line that names the variable and says what it must be.
        """
        given = {name: value for name, value in environ.items() if name.startswith(PREFIX)}
        values: dict[str, Any] = {}
        for name in sorted(given):
            if given[name] == "":
                continue
            field, text = _field_and_text(name, given)
            try:
                values[field] = _PARSERS[field](text)
            except ValueError as error:
                raise SettingsError(f"{name} {error}") from None
        settings = cls(**values)
        if settings.bcrypt_cost < 10 and settings.env != "test":
            raise SettingsError(
                "SERVICE_BCRYPT_COST must be 10 to 16; less only with SERVICE_ENV=test"
            )
        return settings


def _field_and_text(name: str, given: Mapping[str, str]) -> tuple[str, str]:
    """The field that the variable `name` sets, and the text it gives (or its file holds)."""
    field = name.removeprefix(PREFIX).lower()
    if field in _PARSERS and name.isupper():
        return field, given[name]
    plain = field.removesuffix("_file")
    if plain != field and plain in Settings.SECRETS:
        if given.get(PREFIX + plain.upper()):
            raise SettingsError(f"{name} and {PREFIX}{plain.upper()} are both set; keep one")
        try:
            return plain, Path(given[name]).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise SettingsError(f"{name} must be the path of a readable text file") from None
    raise SettingsError(f"{name} is not a setting{_suggestion(field)}")


def _suggestion(field: str) -> str:
    near = difflib.get_close_matches(field, list(_PARSERS), n=1)
    return f"; did you mean {PREFIX}{near[0].upper()}?" if near else "; see docs/settings.md"


def _integer(low: int, high: int | None = None) -> Callable[[str], int]:
    expected = f"must be an integer from {low} to {high}" if high else f"must be an integer ≥ {low}"

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 18):
            raise ValueError(expected)
        number = int(text)
        if number < low or (high is not None and number > high):
            raise ValueError(expected)
        return number

    return parse


def _seconds(text: str) -> timedelta:
    try:
        return min(timedelta(seconds=_integer(1)(text)), _LONGEST)
    except OverflowError:
        return _LONGEST
    except ValueError:
        raise ValueError("must be a whole number of seconds ≥ 1") from None


def _delay(text: str) -> timedelta:
    return timedelta(seconds=_integer(0, 600)(text))


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError("must be " + " or ".join(choices))
        return text

    return parse


def _switch(text: str) -> bool:
    return _one_of("on", "off")(text) == "on"


def _text(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("must be plain text without control characters or outer spaces")
    return text


def _names(text: str) -> tuple[str, ...]:
    names = tuple(_text(name.strip()) for name in text.split(","))
    if not all(names):
        raise ValueError("must be a name, or several with commas between")
    return names


def _label(text: str) -> str:
    if ":" in text:  # it separates issuer and account in an otpauth:// URL
        raise ValueError("must be text without a colon")
    return _text(text)


def _url(*schemes: str) -> Callable[[str], Secret]:
    def parse(text: str) -> Secret:
        if not text.startswith(schemes):
            raise ValueError("must begin with " + " or ".join(schemes))
        return Secret(text)

    return parse


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(","))
    except ValueError:
        raise ValueError(
            "must be networks separated by commas, such as 10.0.0.0/8,fd00::/8"
        ) from None


_PARSERS: dict[str, Callable[[str], object]] = {
    "env": _one_of("production", "test"),
    "host": _text,
    "port": _integer(0, 65_535),
    "workers": _integer(1, 256),
    "drain_delay": _delay,
    "data_dir": Path,
    "redis_url": _url(
        "redis://",
        "rediss://",
        "unix://",
        "redis+sentinel://",
        "rediss+sentinel://",
        "redis+cluster://",
        "rediss+cluster://",
    ),
    "redis_min_replicas": _integer(0, 100),
    "redis_connect_timeout_ms": _integer(10, 60_000),
    "redis_reply_timeout_ms": _integer(10, 60_000),
    "database_url": _url("sqlite:///", "postgresql://", "postgres://"),
    "database_timeout_ms": _integer(10, 60_000),
    "database_pool": _integer(1, 100),
    "app_name": _label,
    "issuer": _text,
    "audience": _text,
    "access_ttl": _seconds,
    "refresh_ttl": _seconds,
    "refresh_idle_ttl": _seconds,
    "refresh_grace": _seconds,
    "enrollment_ttl": _seconds,
    "challenge_ttl": _seconds,
    "max_sessions": _integer(1, 10_000),
    "bcrypt_cost": _integer(4, 16),
    "kms": _one_of("local", "aws", "vault", "pkcs11"),
    "kms_local_key_file": Path,
    "kms_aws_key": _names,
    "kms_vault_key": _text,
    "kms_vault_mount": _text,
    "kms_vault_token_file": Path,
    "kms_vault_role_id": _text,
    "kms_vault_secret_id": Secret,
    "kms_pkcs11_module": Path,
    "kms_pkcs11_token": _text,
    "kms_pkcs11_key": _names,
    "kms_pkcs11_pin": Secret,
    "key_age": _seconds,
    "pages": _switch,
    "trusted_proxies": _networks,
    "password_min": _integer(8, 64),
    "password_blocklist": Path,
    "limit_account_network": rate_of,
    "limit_account": rate_of,
    "limit_network": rate_of,
    "limit_signups": rate_of,
    "limit_codes": rate_of,
    "limit_calls": rate_of,
    "rate_limit": _switch,
    "events_age": _seconds,
    "events_max": _integer(100, 10_000_000),
    "log_level": _one_of("debug", "info", "warning", "error"),
}
