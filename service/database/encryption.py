"""Tells to which hosts the connections of a database URL may travel in clear."""

from collections.abc import Mapping
from urllib.parse import parse_qs

from service.database import libpq

_ENCRYPTED = ("require", "verify-ca", "verify-full")
"""The values of `sslmode` that never fall back; `prefer`, the default, does."""


def hosts_in_clear(url: str, environ: Mapping[str, str]) -> list[str]:
    """Return the hosts that may be spoken to in clear, by `url` and libpq's variables.

    A socket file is its path. None are returned of SQLite, and where TLS is asked for. A host that
    stands in a service file is not known here, and is the empty text.

    Raises:
        SettingsError: the URL cannot be read.
    """
    if not libpq.is_postgresql(url):
        return []
    driver = libpq.read(url).driver
    mode = parse_qs(driver.get("dsn", "").partition("?")[2]).get("sslmode", [""])[0]
    if "ssl" in driver or (mode or environ.get("PGSSLMODE", "")) in _ENCRYPTED:
        return []
    if "host" in driver:
        return list(driver["host"])
    if environ.get("PGHOST"):
        return environ["PGHOST"].split(",")
    return [""] if driver.get("service") or environ.get("PGSERVICE") else []
