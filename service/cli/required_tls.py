"""Finds connections that would leave the machine in clear: `SERVICE_REQUIRE_TLS` refuses them."""

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from service.errors import SettingsError
from service.settings import Settings
from service.settings.values import is_loopback


class InClear(msgspec.Struct, frozen=True):
    """A connection that leaves the machine in clear: the setting that makes it, and what to do."""

    setting: str
    advice: str


def refuse_what_is_in_clear(settings: Settings, environ: Mapping[str, str]) -> None:
    """Refuse the settings if they require TLS and name a connection without.

    Raises:
        SettingsError: one line that names the connection's setting, and says what it must be.
    """
    if settings.require_tls and (found := connections_in_clear(settings, environ)):
        raise SettingsError(
            f"{found[0].setting} {found[0].advice}: it leaves this machine in clear, which"
            " SERVICE_REQUIRE_TLS=on forbids"
        )


def connections_in_clear(settings: Settings, environ: Mapping[str, str]) -> list[InClear]:
    """Find the connections that the settings make to other machines without TLS.

    Raises:
        SettingsError: a setting cannot be read.
    """
    found = [_redis(settings), _database(settings, environ), _vault(settings, environ)]
    found += [_aws(settings), _traces(settings, environ), _mail(settings)]
    return [each for each in found if each is not None]


def is_here(host: str) -> bool:
    """Tell whether a host is this machine: loopback, or a socket file."""
    return host.startswith(("/", "@")) or is_loopback(host)


def _redis(settings: Settings) -> InClear | None:
    url = settings.redis_url.reveal()
    if not url.startswith("redis"):  # the embedded one, or a socket file
        return None
    from redis.asyncio.connection import SSLConnection

    from service.redis.url import RedisUrl

    try:
        parsed = RedisUrl.parse(url)
    except ValueError as error:
        raise SettingsError(f"SERVICE_REDIS_URL: {error}") from None
    if parsed.connection_class is SSLConnection:
        return None
    # Sentinels and nodes name other servers, which may be anywhere.
    if parsed.topology == "standalone" and all(is_here(host) for host, _ in parsed.hosts):
        return None
    scheme = url.partition("://")[0]
    return InClear(
        "SERVICE_REDIS_URL", f"must begin with {scheme.replace('redis', 'rediss', 1)}://"
    )


def _database(settings: Settings, environ: Mapping[str, str]) -> InClear | None:
    from service.database.encryption import hosts_in_clear

    hosts = hosts_in_clear(settings.database_url.reveal(), environ)
    if all(is_here(host) for host in hosts):
        return None
    return InClear("SERVICE_DATABASE_URL", "must have sslmode=verify-full, verify-ca or require")


def _vault(settings: Settings, environ: Mapping[str, str]) -> InClear | None:
    credentials = (
        settings.kms_vault_token_file, settings.kms_vault_role_id, environ.get("VAULT_TOKEN")
    )  # fmt: skip
    address = environ.get("VAULT_ADDR", "")
    if (settings.kms != "vault" and not any(credentials)) or not _in_clear(address):
        return None
    return InClear("VAULT_ADDR", "must begin with https://")


def _aws(settings: Settings) -> InClear | None:
    if settings.kms != "aws" and not settings.kms_aws_key:
        return None
    from service.keyring.kms.selection import aws_endpoint

    if not _in_clear(aws_endpoint(settings)):
        return None
    return InClear("AWS_ENDPOINT_URL_KMS", "must begin with https:// (SERVICE_KMS=aws)")


def _traces(settings: Settings, environ: Mapping[str, str]) -> InClear | None:
    names = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    name = next((name for name in names if environ.get(name)), None)
    if not settings.tracing or name is None or not _in_clear(environ[name]):
        return None
    return InClear(name, "must begin with https:// (SERVICE_TRACING=on)")


def _mail(settings: Settings) -> InClear | None:
    if not settings.mail_url:
        return None
    from service.composition.mail import read_mail_url

    url = read_mail_url(settings)
    if url.is_here or url.tls != "opportunistic":
        return None
    return InClear("SERVICE_MAIL_URL", "must have tls=required, or begin with smtps://")


def _in_clear(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # nobody knows where it would go
        return True
    return bool(url) and parts.scheme.lower() != "https" and not is_here(parts.hostname or "")
