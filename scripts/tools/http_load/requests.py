"""The calls of the service, and requests as the bytes that go over the wire."""

import msgspec

ROUTES = {
    "signup": ("POST", "/auth/signup", 201),
    "login": ("POST", "/auth/login", 200),
    "answer": ("POST", "/auth/login/2fa", 200),
    "refresh": ("POST", "/auth/refresh", 200),
    "me": ("GET", "/auth/me", 200),
    "list": ("GET", "/auth/sessions", 200),
    "logout": ("POST", "/auth/logout", 204),
    "logout_all": ("POST", "/auth/logout/all", 200),
    "revoke": ("DELETE", "/auth/sessions/{session}", 204),
    "enable": ("POST", "/auth/2fa/enable", 200),
    "verify": ("POST", "/auth/2fa/verify", 200),
    "disable": ("POST", "/auth/2fa/disable", 204),
    "reauthenticate": ("POST", "/auth/reauthenticate", 200),
    "password_change": ("POST", "/auth/password/change", 200),
    "account_delete": ("POST", "/auth/account/delete", 204),
    "live": ("GET", "/health/live", 200),
    "ready": ("GET", "/health/ready", 200),
}
"""By call: method, path, and the status of success."""

_encode = msgspec.json.Encoder().encode


def request(
    method: str, path: str, host: str, body: object = None, access_token: str = "", more: str = ""
) -> bytes:
    """Write a request, with `body` as JSON; `more` are header lines, each with its CRLF."""
    content = b"" if body is None else _encode(body)
    bearer = f"Authorization: Bearer {access_token}\r\n" if access_token else ""
    kind = "" if body is None else "Content-Type: application/json\r\n"
    length = "" if method == "GET" else f"Content-Length: {len(content)}\r\n"
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{more}{bearer}{kind}{length}\r\n"
    return head.encode() + content
