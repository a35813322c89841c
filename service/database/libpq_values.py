"""Parameters of a PostgreSQL URL as libpq spells them: values, and what cannot be had, and why."""

import re
from typing import NoReturn

from service.errors import SettingsError

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


def refuse(key: str, why: str) -> NoReturn:
    """Say which parameter it is and why, but no value, which may be secret."""
    raise SettingsError(f"SERVICE_DATABASE_URL: {key} cannot be used as it is: {why}")


def take_out_what_changes_nothing(given: dict[str, str]) -> None:
    """Take out parameters that ask for what is there anyway.

    Raises:
        SettingsError: one asks for what cannot be had.
    """
    for key, allowed in _ONLY.items():
        if key in given and given.pop(key).lower() not in allowed:
            refuse(key, _WHY_NOT[key])
    for key in _WHY_NOT:
        if key in given:
            refuse(key, _WHY_NOT[key])


def number(given: dict[str, str], key: str, default: int = 0) -> int:
    """Take out a whole number; an empty one is not given."""
    text = given.pop(key, "").strip() or str(default)
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        refuse(key, "it is a whole number")
    return int(text)


def choice(given: dict[str, str], key: str, choices: tuple[str, ...]) -> str:
    """Take out one of `choices`, of which the first is meant where nothing is given."""
    value = given.pop(key, "") or choices[0]
    if value not in choices:
        refuse(key, "it is " + " or ".join(choices))
    return value
