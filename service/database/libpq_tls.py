"""The TLS of a PostgreSQL URL: `sslmode` and its like, for the driver."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from service.database.libpq_values import choice, refuse

_TLS = ("sslmode", "sslcert", "sslkey", "sslpassword", "sslrootcert", "sslcrl")
_TLS_VERSIONS = ("ssl_min_protocol_version", "ssl_max_protocol_version")
_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


def tls(given: dict[str, str]) -> dict[str, Any]:
    """Make the driver's arguments for TLS: `ssl` or a `dsn`, and `direct_tls`."""
    given_tls = {key: given.pop(key) for key in (*_TLS, *_TLS_VERSIONS) if given.get(key)}
    direct = choice(given, "sslnegotiation", ("postgres", "direct")) == "direct"
    system = given_tls.get("sslrootcert") == "system"
    mode = given_tls.get("sslmode", "verify-full" if system else "")
    if mode and mode not in _MODES:
        refuse("sslmode", "it is one of " + ", ".join(_MODES))
    if system and mode != "verify-full":
        refuse("sslrootcert", "system needs sslmode=verify-full")
    if direct and mode not in ("require", "verify-ca", "verify-full"):
        refuse("sslnegotiation", "direct needs sslmode=require, verify-ca or verify-full")
    answer: dict[str, Any] = {"direct_tls": True} if direct else {}
    if not given_tls:
        return answer
    if mode != "disable":
        _try_files(given_tls)
    if system:
        return answer | {"ssl": _context(given_tls)}
    # The driver reads these from a URL alone, and only from there.
    return answer | {"dsn": "postgresql://?" + urlencode(given_tls, quote_via=quote)}


def _try_files(given: Mapping[str, str]) -> None:
    """Refuse a file that cannot be read or is of another kind, by the name of its parameter.

    The driver would find it when connecting, as if the server were away.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tried = "sslrootcert"
    try:
        if (authorities := given.get(tried, "system")) != "system":
            context.load_verify_locations(authorities)
        tried = "sslcrl"
        if crl := given.get(tried):
            context.load_verify_locations(crl)
        tried = "sslkey"
        if key := given.get(tried):
            Path(key).open("rb").close()
        tried = "sslcert"
        if certificate := given.get(tried):
            password = given.get("sslpassword", "")
            context.load_cert_chain(certificate, key, lambda: password)
    except OSError as error:  # of TLS, too
        refuse(tried, f"its file says: {error.strerror or type(error).__name__}")


def _context(given: Mapping[str, str]) -> ssl.SSLContext:
    """Make a TLS context that trusts what the system trusts."""
    context = ssl.create_default_context()
    if crl := given.get("sslcrl"):
        context.load_verify_locations(crl)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    if certificate := given.get("sslcert"):
        password = given.get("sslpassword", "")
        context.load_cert_chain(certificate, given.get("sslkey"), lambda: password)
    for key, bound in zip(_TLS_VERSIONS, ("minimum_version", "maximum_version"), strict=True):
        if version := given.get(key):
            name = version.replace(".", "_")
            if name not in ssl.TLSVersion.__members__:
                refuse(key, "it is TLSv1.2 or TLSv1.3")
            setattr(context, bound, ssl.TLSVersion[name])
    context.set_alpn_protocols(["postgresql"])
    return context
