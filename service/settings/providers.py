"""Settings that name OpenID providers: `SERVICE_OAUTH_<ID>_…`, a set of variables for each.

What is well known of some providers need not be set: `PRESETS` has it by their id.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from service.errors import SettingsError
from service.settings.paths import file_text
from service.settings.values import Secret, is_web_address, plain_text, switch

_VARIABLE = re.compile(
    r"SERVICE_OAUTH_(?P<id>[A-Z0-9]{1,32})_"
    r"(?P<what>ISSUER|CLIENT_ID|CLIENT_SECRET|CLIENT_SECRET_FILE|NAME|SCOPES|TRUST_EMAIL)"
)
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749, section 3.3
_PRIVATE_SCHEME = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+")  # RFC 8252, section 7.1
_LONGEST = 255


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """A provider that people may log in at, and what we are registered there as.

    `kind`: how it is asked; `github` has no ID tokens. `form_post`: it sends people back by POST.
    `tenants`: its issuer names a tenant where that of the settings says `common`.
    """

    id: str
    name: str
    issuer: str
    client_id: str
    client_secret: Secret = Secret("")
    scopes: tuple[str, ...] = ("openid", "email")
    trust_email: bool = False
    kind: Literal["openid", "github"] = "openid"
    form_post: bool = False
    tenants: bool = False


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "google": {"name": "Google", "issuer": "https://accounts.google.com"},
    "apple": {"name": "Apple", "issuer": "https://appleid.apple.com", "form_post": True},
    "microsoft": {
        "name": "Microsoft",
        "issuer": "https://login.microsoftonline.com/common/v2.0",
        "tenants": True,
    },
    "gitlab": {"name": "GitLab", "issuer": "https://gitlab.com"},
    "github": {
        "name": "GitHub",
        "issuer": "https://github.com",
        "scopes": ("user:email",),
        "kind": "github",
    },
}
"""What need not be set of these providers, by id."""


def take_providers(given: dict[str, str]) -> tuple[Provider, ...]:
    """Take the variables of providers out of `given`, and read them. Ordered by id.

    Raises:
        SettingsError: one line that names the variable and says what it must be.
    """
    found: dict[str, dict[str, str]] = {}
    for name in sorted(given):
        if matched := _VARIABLE.fullmatch(name):
            text = given.pop(name)
            if text:
                found.setdefault(matched["id"], {})[matched["what"]] = text
    return tuple(_read(provider_id, texts) for provider_id, texts in sorted(found.items()))


def redirect_uris(text: str) -> tuple[str, ...]:
    """Parse the addresses that a login at a provider may lead back to."""
    uris = tuple(part.strip() for part in text.split(","))
    if not all(map(_is_redirect, uris)):
        raise ValueError(
            "must be addresses separated by commas, each https://, http:// on loopback, or of an"
            " app's own scheme such as com.example.app:/, and without #"
        )
    return uris


def _read(provider_id: str, texts: Mapping[str, str]) -> Provider:
    preset = PRESETS.get(provider_id.lower(), {})
    values: dict[str, Any] = {"id": provider_id.lower(), "name": provider_id.title(), **preset}
    if "ISSUER" in texts:
        values["issuer"] = _parsed(provider_id, "ISSUER", texts, _issuer)
        values["tenants"] = False
    for what in ("CLIENT_ID", "NAME", "SCOPES", "TRUST_EMAIL"):
        if what in texts:
            values[what.lower()] = _parsed(provider_id, what, texts, _PARSERS[what])
    values["client_secret"] = Secret(_secret(provider_id, texts))
    for what in ("ISSUER", "CLIENT_ID"):
        if what.lower() not in values:
            raise SettingsError(f"SERVICE_OAUTH_{provider_id}_{what} must be set, too")
    provider = Provider(**values)
    if provider.kind == "openid" and "openid" not in provider.scopes:
        raise SettingsError(f"SERVICE_OAUTH_{provider_id}_SCOPES must have openid among them")
    return provider


def _parsed(
    provider_id: str, what: str, texts: Mapping[str, str], parse: Callable[[str], Any]
) -> Any:
    try:
        return parse(texts[what])
    except ValueError as error:
        raise SettingsError(f"SERVICE_OAUTH_{provider_id}_{what} {error}") from None


def _secret(provider_id: str, texts: Mapping[str, str]) -> str:
    name = f"SERVICE_OAUTH_{provider_id}_CLIENT_SECRET"
    if "CLIENT_SECRET_FILE" not in texts:
        return texts.get("CLIENT_SECRET", "")
    if "CLIENT_SECRET" in texts:
        raise SettingsError(f"{name}_FILE and {name} are both set; keep one")
    return str(_parsed(provider_id, "CLIENT_SECRET_FILE", texts, file_text))


def _issuer(text: str) -> str:
    expected = "must be https://, or http:// on loopback, without a query or fragment"
    if len(text) > _LONGEST or not text.isascii() or not text.isprintable() or "\\" in text:
        raise ValueError(expected)
    if not is_web_address(text) or "?" in text or "#" in text:
        raise ValueError(expected)
    return text


def _is_redirect(uri: str) -> bool:
    if not uri.isascii() or not uri.isprintable() or " " in uri or "#" in uri:
        return False
    scheme, colon, rest = uri.partition(":")
    if colon and rest and _PRIVATE_SCHEME.fullmatch(scheme):
        return True
    return is_web_address(uri)


def _plain(text: str) -> str:
    if len(text) > _LONGEST:
        raise ValueError(f"must have at most {_LONGEST} characters")
    return plain_text(text)


def _scopes(text: str) -> tuple[str, ...]:
    scopes = tuple(text.split())
    if not scopes or not all(map(_SCOPE.fullmatch, scopes)):
        raise ValueError("must be scopes separated by spaces, such as: openid email")
    return scopes


_PARSERS: Mapping[str, Callable[[str], Any]] = {
    "CLIENT_ID": _plain,
    "NAME": _plain,
    "SCOPES": _scopes,
    "TRUST_EMAIL": switch,
}
