"""The settings, each with its default and what it must be, and how they are read.

The table of all settings stands in `docs/settings.md`; a test holds it against this file.
"""

import difflib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_type_hints

import msgspec

from service.errors import SettingsError
from service.rates import Rate
from service.settings.addresses import exact_origins, path_prefix
from service.settings.binds import Bind, bind
from service.settings.paths import file_path, file_text
from service.settings.providers import Provider, redirect_uris, take_providers
from service.settings.values import (
    Network,
    Parser,
    Secret,
    audience_names,
    delay,
    integer,
    issuer_name,
    label,
    one_of,
    page,
    parser_of,
    ratio,
    url,
    webhooks,
)

PREFIX = "SERVICE_"

LONGEST_TICKET = timedelta(hours=72)
"""The life of the longest ticket that is mailed: by it a change of address is undone."""

_REDIS = url(
    "redis://",
    "rediss://",
    "unix://",
    "redis+sentinel://",
    "rediss+sentinel://",
    "redis+cluster://",
    "rediss+cluster://",
)
_DATABASE = url("sqlite:///", "postgresql://", "postgres://")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The checked settings. Empty `redis_url` and `database_url` mean the ones in the data dir."""

    env: Literal["production", "test"] = "production"
    host: str = "127.0.0.1"
    port: Annotated[int, integer(0, 65_535)] = 8000
    workers: Annotated[int, integer(1, 256)] = 1
    operations_bind: Annotated[Bind | None, bind] = None
    admin_bind: Annotated[Bind | None, bind] = None
    drain_delay: Annotated[timedelta, delay] = timedelta(0)
    data_dir: Path = Path("var")
    redis_url: Annotated[Secret, _REDIS] = Secret("")
    redis_min_replicas: Annotated[int, integer(0, 100)] = 0
    redis_rollback: Literal["replay", "cutoff", "refuse", "off"] = "replay"
    redis_connect_timeout_ms: Annotated[int, integer(10, 60_000)] = 500
    redis_reply_timeout_ms: Annotated[int, integer(10, 60_000)] = 1000
    database_url: Annotated[Secret, _DATABASE] = Secret("")
    database_timeout_ms: Annotated[int, integer(10, 60_000)] = (
        850  # twice this is within the two seconds that a call may take
    )
    database_pool: Annotated[int, integer(1, 100)] = (
        8  # of ten pods with one worker: fits into the usual limit of 100
    )
    app_name: Annotated[str, label] = "OpenShow"
    issuer: Annotated[str, issuer_name] = "http://127.0.0.1:8000"
    audience: str = "openshow"
    audiences: Annotated[tuple[str, ...], audience_names] = ()
    access_ttl: timedelta = timedelta(seconds=900)
    refresh_ttl: timedelta = timedelta(days=30)
    refresh_idle_ttl: timedelta = timedelta(days=14)
    refresh_grace: timedelta = timedelta(seconds=10)
    enrollment_ttl: timedelta = timedelta(seconds=600)
    challenge_ttl: timedelta = timedelta(seconds=300)
    reauth_ttl: timedelta = timedelta(seconds=600)
    reauth_for_enrolment: bool = False
    totp_ahead: bool = True
    reset_ttl: timedelta = timedelta(seconds=600)
    max_sessions: Annotated[int, integer(1, 10_000)] = 50
    bcrypt_cost: Annotated[int, integer(4, 16)] = 12
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
    require_tls: bool = False
    pages: bool = False
    origins: Annotated[tuple[str, ...], exact_origins] = ()
    cookies: bool = False
    root_path: Annotated[str, path_prefix] = ""
    trusted_proxies: tuple[Network, ...] = ()
    mail_url: Annotated[Secret, url("smtp://", "smtps://", "file:///")] = Secret("")
    mail_from: str = ""
    mail_templates: Path | None = None
    mail_locale: str = "en"
    mail_most: Annotated[int, integer(64, 10_000_000)] = 64_000
    email_verification: Literal["off", "optional", "required"] = "off"
    notices: bool = True
    reset_url: Annotated[str, page] = ""
    verify_url: Annotated[str, page] = ""
    password_min: Annotated[int, integer(8, 64)] = 8
    password_blocklist: Path | None = None
    oauth_redirects: Annotated[tuple[str, ...], redirect_uris] = ()
    oauth_signup: bool = True
    limit_account_network: Rate = Rate(10, timedelta(minutes=15))
    limit_account: Rate = Rate(100, timedelta(hours=1))
    limit_network: Rate = Rate(300, timedelta(minutes=15))
    limit_signups: Rate = Rate(600, timedelta(hours=1))
    limit_resets: Rate = Rate(20, timedelta(minutes=15))
    limit_codes: Rate = Rate(10, timedelta(minutes=15))
    limit_codes_in_a_row: Annotated[int, integer(1, 10_000)] = 50
    limit_calls: Rate = Rate(60, timedelta(minutes=1))
    rate_limit: bool = True
    feed_kinds: Annotated[Literal[1, 2, 3], integer(1, 3)] = 3
    events_age: timedelta = timedelta(days=7)
    events_max: Annotated[int, integer(100, 10_000_000)] = 20_000
    tracing: bool = False
    trace_ratio: Annotated[float, ratio] = 0.01
    sink_file: Annotated[Path | None, file_path] = None
    sink_sql: bool = False
    sink_webhooks: Annotated[tuple[str, ...], webhooks] = ()
    sink_networks: tuple[Network, ...] = ()
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Annotated[Literal["json", "console"] | None, one_of("json", "console")] = (
        None  # the latter where standard output is a terminal
    )

    oauth_providers: tuple[Provider, ...] = ()
    """Of the variables `SERVICE_OAUTH_<ID>_…`: see `providers.py`."""

    SECRETS: ClassVar[frozenset[str]]
    """Fields that may come from a file, named by the variable with `_FILE`."""

    @property
    def public_url(self) -> str:
        """The address of the service for people, without a slash at its end."""
        url = self.issuer.rstrip("/")
        return url if url.endswith(self.root_path) else url + self.root_path

    @property
    def keeps_files(self) -> bool:
        """Whether something lies in `data_dir`, which a pod without a disk must not need."""
        key_is_elsewhere = self.kms != "local" or self.kms_local_key_file is not None
        return not (self.redis_url and self.database_url and key_is_elsewhere)

    @property
    def mac_keys_matter(self) -> timedelta:
        """How long what refresh tokens and tickets are authenticated by matters at the most."""
        tickets = LONGEST_TICKET if self.mail_url else self.reset_ttl
        return max(self.refresh_ttl, self.reset_ttl, tickets)

    @property
    def seals_matter(self) -> timedelta:
        """How long what is sealed in Redis matters at the most."""
        return max(self.enrollment_ttl, LONGEST_TICKET) if self.mail_url else self.enrollment_ttl

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Read and check all `SERVICE_*` variables of `environ`. An empty one counts as not set.

        Raises:
            SettingsError: one line that names the variable and says what it must be.
        """
        given = {name: value for name, value in environ.items() if name.startswith(PREFIX)}
        values: dict[str, Any] = {"oauth_providers": take_providers(given)}
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
        if settings.redis_rollback == "off" and settings.env != "test":
            raise SettingsError("SERVICE_REDIS_ROLLBACK=off needs SERVICE_ENV=test")
        if settings.email_verification != "off" and not settings.mail_url:
            raise SettingsError("SERVICE_EMAIL_VERIFICATION needs SERVICE_MAIL_URL")
        return settings


def _field_and_text(name: str, given: Mapping[str, str]) -> tuple[str, str]:
    """Return the field that the variable `name` sets, and the text it gives or its file holds."""
    field = name.removeprefix(PREFIX).lower()
    if field in _PARSERS and name.isupper():
        return field, given[name]
    plain = field.removesuffix("_file")
    if plain != field and plain in Settings.SECRETS:
        if given.get(PREFIX + plain.upper()):
            raise SettingsError(f"{name} and {PREFIX}{plain.upper()} are both set; keep one")
        try:
            return plain, file_text(given[name])
        except ValueError as error:
            raise SettingsError(f"{name} {error}") from None
    raise SettingsError(f"{name} is not a setting{_suggestion(field)}")


def _suggestion(field: str) -> str:
    near = difflib.get_close_matches(field, list(_PARSERS), n=1)
    return f"; did you mean {PREFIX}{near[0].upper()}?" if near else "; see docs/settings.md"


_TYPES = get_type_hints(Settings)
_PARSERS: dict[str, Parser] = {
    name: parser_of(annotation)
    for name, annotation in get_type_hints(Settings, include_extras=True).items()
    if name in Settings.__struct_fields__ and name != "oauth_providers"
}
Settings.SECRETS = frozenset(name for name in _PARSERS if _TYPES[name] is Secret)
