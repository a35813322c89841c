"""What fields hold, for the OpenAPI document: formats, lengths, examples, which are required.

Litestar reads types. That a refresh token may be left out is true in cookie mode alone, and what a
string must be is decided by use cases, in words of their own.
"""

from typing import Any

_Schema = dict[str, Any]

_TIME = {"format": "date-time", "examples": ["2026-11-26T08:30:00.000Z"]}
_SESSION_ID = {"pattern": "^[0-9a-f]{24}$", "examples": ["5f1d0c2b7a9e4f3d8c6b0a1e"]}
_PASSWORD = {"format": "password", "examples": ["tulip anvil harbour nine"]}

_ANYWHERE: dict[str, _Schema] = {
    "createdAt": _TIME,
    "lastUsedAt": _TIME,
    "expiresAt": _TIME,
    "exportedAt": _TIME,
    "sessionId": _SESSION_ID | {"description": "The public id of the session, `sid`"},
    "accessToken": {"description": "A JWT (RFC 9068), for `Authorization: Bearer`"},
    "expiresIn": {"description": "Seconds that the access token is good for"},
    "password": _PASSWORD,
    "currentPassword": _PASSWORD,
    "code": {
        "description": "Six digits of an authenticator app or, where one is taken, a recovery code",
        "examples": ["123456"],
    },
    "challengeId": {"description": "What the first step of the login has answered"},
    "tempSecretId": {"description": "What `enable` has answered"},
    "endOtherSessions": {"description": "End all other sessions in the same change"},
    "keepCurrent": {"description": "Leave the caller's own session alone"},
    "otpauthUrl": {"description": "To be shown as a QR code; it holds the secret"},
    "recoveryCodes": {"description": "Each works once; they are shown only now"},
}
"""By the name of the field, wherever it stands."""

_CHOSEN = {
    "SignupBody": "password",
    "PasswordResetBody": "password",
    "PasswordChangeBody": "newPassword",
}
"""Fields with a password to be."""

_NOTHING = {"description": ""}
_SESSION_MODE = {
    "name": "X-Session-Mode",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "`cookie`: the refresh token is answered as a cookie and is not in the body",
}
_SET_COOKIE = {
    "schema": {"type": "string"},
    "description": "In cookie mode: `__Host-openshow_refresh`, or its end",
}

_TEXT = {"type": "string", "minLength": 1, "examples": ["osr_…"]}


def _required_token(cookies: bool) -> _Schema:
    """Describe a refresh token, which may be left out where it may come as a cookie."""
    if not cookies:
        return _TEXT
    return {"type": ["string", "null"], "description": "Left out where the cookie has it"}


def complete(schemas: dict[str, _Schema], *, cookies: bool, password_min: int) -> None:
    """Add to the schemas of bodies what the service asks of them, and what they look like."""
    for schema in schemas.values():
        for name, field in schema.get("properties", {}).items():
            if len(field.get("oneOf", ())) == 1:
                field.update(field.pop("oneOf")[0])
            field.update(_ANYWHERE.get(name, {}))
    chosen = _PASSWORD | {"minLength": password_min, "maxLength": 1024}
    for body, name in _CHOSEN.items():
        _field(schemas, body, name).update(chosen)
    email = {"format": "idn-email", "maxLength": 320, "examples": ["ada@example.com"]}
    _field(schemas, "SignupBody", "email").update(email)
    for body in ("RefreshBody", "LogoutBody", "ReauthenticateBody"):
        token = _field(schemas, body, "refreshToken")
        token.clear()
        token.update(_required_token(cookies))
        if not cookies and body in schemas:
            schemas[body]["required"] = ["refreshToken"]
    for body in ("TokenPairBody", "SignedInBody"):
        if not cookies and body in schemas:
            schemas[body]["required"] = sorted({*schemas[body]["required"], "refreshToken"})
    if "ReauthenticateBody" in schemas:  # one of them, not both
        proofs = [{"required": ["password"]}, {"required": ["code"]}]
        schemas["ReauthenticateBody"]["oneOf"] = proofs


def add_cookie_mode(paths: dict[str, dict[str, _Schema]]) -> None:
    """Describe header and cookie of the calls that know cookie mode."""
    for operation in (each for methods in paths.values() for each in methods.values()):
        if "`origin_not_allowed`" not in operation["responses"].get("403", _NOTHING)["description"]:
            continue
        operation.setdefault("parameters", []).append(_SESSION_MODE)
        for status, response in operation["responses"].items():
            if status in ("200", "201", "204"):
                response["headers"] |= {"Set-Cookie": _SET_COOKIE}


def _field(schemas: dict[str, _Schema], body: str, name: str) -> _Schema:
    found: _Schema = schemas.get(body, {}).get("properties", {}).get(name, {})
    return found
