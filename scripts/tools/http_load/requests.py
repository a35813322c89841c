"""Requests as the bytes that go over the wire."""

import msgspec

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
