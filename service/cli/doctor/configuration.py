"""Judges the settings by themselves: what they allow that production should not."""

import os
import resource
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from service.cli.doctor.findings import Finding, fault, ok, warning
from service.cli.required_tls import connections_in_clear, is_here
from service.settings import Settings

_LEAST_FILES = 4096  # open files: each connection of a client is one
_WIDEST = {4: 8, 6: 16}
"""The shortest prefix of a network of proxies that can be meant."""


def check_settings(settings: Settings, environ: Mapping[str, str]) -> list[Finding]:
    """Look for what the settings say and should not, in production."""
    found = [*_for_tests(settings), *_addresses(settings), *_proxies(settings), *_files(settings)]
    for each in connections_in_clear(settings, environ):
        found.append(
            warning(
                "tls",
                f"{each.setting} makes a connection that leaves this machine in clear",
                f"{each.setting} {each.advice}; SERVICE_REQUIRE_TLS=on makes sure of it",
            )
        )
    found += _unchecked_certificates(settings)
    return found or [ok("settings", "The settings can be used as they are")]


def _for_tests(settings: Settings) -> Iterator[Finding]:
    if settings.env == "test":
        yield warning(
            "settings", "SERVICE_ENV=test allows cheap password hashes",
            "leave SERVICE_ENV out in production",
        )  # fmt: skip
    if settings.bcrypt_cost < 10:
        yield warning(
            "settings", f"SERVICE_BCRYPT_COST={settings.bcrypt_cost} makes hashes cheap to guess",
            "leave it out (12), or set it to 10 at least",
        )  # fmt: skip
    if not settings.rate_limit:
        yield warning(
            "settings", "SERVICE_RATE_LIMIT=off: no limits per address and on calls",
            "leave SERVICE_RATE_LIMIT out; it is for load tests",
        )  # fmt: skip


def _addresses(settings: Settings) -> Iterator[Finding]:
    issuer = urlsplit(settings.issuer)
    is_local = is_here(issuer.hostname or "")
    if issuer.scheme.lower() not in ("http", "https") or not issuer.hostname:
        yield warning(
            "settings", "SERVICE_ISSUER is no address",
            "set it to the https:// address that clients see",
        )  # fmt: skip
    elif is_local and not is_here(settings.host):
        yield warning(
            "settings",
            f"SERVICE_ISSUER is {settings.issuer}, and SERVICE_HOST serves other machines, too",
            "set SERVICE_ISSUER to the address that clients see; later it takes `redis claim`",
        )
    elif not is_local and issuer.scheme.lower() == "http":
        yield warning(
            "settings", "SERVICE_ISSUER is http://: passwords and tokens travel in clear",
            "put a proxy with TLS in front, and set SERVICE_ISSUER to its https:// address",
        )  # fmt: skip


def _proxies(settings: Settings) -> Iterator[Finding]:
    for network in settings.trusted_proxies:
        if network.prefixlen < _WIDEST[network.version]:
            yield fault(
                "settings",
                f"SERVICE_TRUSTED_PROXIES has {network}, in which clients live: each of them"
                " chooses its own address, and with it the limits that it meets",
                "name the proxies' own addresses and nothing else",
            )


def _files(settings: Settings) -> Iterator[Finding]:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < _LEAST_FILES:  # RLIM_INFINITY is negative
        yield warning(
            "settings", f"only {soft} files may be open here, and each connection is one",
            f"raise the limit to {_LEAST_FILES} or more (ulimit -n, LimitNOFILE=)",
        )  # fmt: skip
    if settings.keeps_files and settings.data_dir.exists():
        directory = settings.data_dir.resolve()
        there = directory.stat()
        if there.st_uid != os.geteuid():
            yield fault(
                "settings", f"SERVICE_DATA_DIR: {directory} is another user's",
                "run this as the user of the service, or name a directory of its own",
            )  # fmt: skip
        elif there.st_mode & 0o077:
            yield fault(
                "settings", f"SERVICE_DATA_DIR: others may look into {directory}",
                f"take their rights away: `chmod 700 {directory}`",
            )  # fmt: skip


def _unchecked_certificates(settings: Settings) -> Iterator[Finding]:
    redis, database = settings.redis_url.reveal(), settings.database_url.reveal()
    if redis.startswith("rediss") and "ssl_cert_reqs=none" in redis.partition("?")[2]:
        yield warning(
            "tls", "SERVICE_REDIS_URL does not look at the server's certificate (ssl_cert_reqs)",
            "leave ssl_cert_reqs out, and name the authority by ssl_ca_certs",
        )  # fmt: skip
    options = database.partition("?")[2]
    if "sslmode=require" in options and "sslrootcert=" not in options:
        yield warning(
            "tls", "SERVICE_DATABASE_URL does not look at the server's certificate (sslmode)",
            "use sslmode=verify-full, and name the authority by sslrootcert",
        )  # fmt: skip
