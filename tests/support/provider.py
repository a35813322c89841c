"""An OpenID provider in a thread of this process, that can do wrong whatever can be done wrong.

Several providers share one server: `/one`, `/two`, and so on are issuers of their own, and `/hub`
speaks as GitHub does. What is asked of the token endpoint is checked as strictly as the RFCs allow.
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, parse_qsl, unquote_plus, urlencode, urlsplit

from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
SECRET = "a secret: 100% & more"

Misbehaviour = Callable[[BaseHTTPRequestHandler], None]


class Key:
    """A signing key, and how it stands in a JWK set."""

    def __init__(self, kid: str) -> None:
        self.kid = kid
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.jwk = json.loads(ECAlgorithm.to_jwk(self.private.public_key())) | {"kid": kid}

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        """Sign with whatever header. `None` takes a part of it away."""
        header = {"alg": "ES256", "kid": self.kid, "typ": "JWT"} | header
        header = {name: value for name, value in header.items() if value is not None}
        signed = b".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
        signature = ECAlgorithm(ECAlgorithm.SHA256).sign(signed, self.private)
        return (signed + b"." + encoded(signature)).decode()


def encoded(part: bytes) -> bytes:
    """The base64url of JOSE."""
    return base64.urlsafe_b64encode(part).rstrip(b"=")


class Provider:
    """Listens on a port of loopback while it is open."""

    def __init__(self) -> None:
        self.key = Key("first")
        self.published = [self.key]
        self.codes: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.misbehaviour: dict[str, Misbehaviour] = {}
        self.more_metadata: dict[str, Any] = {}
        self.next: dict[str, Any] = {}
        """Who comes with a browser, as `log_in` takes it."""
        self._server: ThreadingHTTPServer | None = None
        self.port = 0

    def start(self) -> Self:
        provider = self

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                provider._answer(self, "")

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                provider._answer(self, self.rfile.read(length).decode())

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Answer)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True).start()
        return self

    def stop(self) -> None:
        assert self._server
        self._server.shutdown()
        self._server.server_close()

    def issuer(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"

    @contextmanager
    def doing(self, path: str, misbehaviour: Misbehaviour) -> Iterator[None]:
        """Answer so at each path that ends like this."""
        self.misbehaviour[path] = misbehaviour
        try:
            yield
        finally:
            del self.misbehaviour[path]

    def log_in(self, authorization_url: str, subject: str = "", **wishes: Any) -> dict[str, str]:
        """Log somebody in who was sent here, and return what they are sent back with.

        `wishes`: `claims` of the ID token besides, of which `None` takes one away; `userinfo`;
        `header`; `key`; `token`, made of the claims; `emails` of GitHub.
        """
        parts = urlsplit(authorization_url)
        sent = {name: value for name, (value,) in parse_qs(parts.query).items()}
        assert sent["response_type"] == "code"
        assert sent["code_challenge_method"] == "S256"
        name = parts.path.split("/")[1]
        code = secrets.token_urlsafe()
        self.codes[code] = {
            "name": name,
            "sent": sent,
            "subject": subject or new_subject(),
        } | wishes
        return {"code": code, "state": sent["state"]}

    def logout_token(self, name: str, **claims: Any) -> str:
        """Make a logout token; `None` takes a claim away, `header_x` is one of the header."""
        now = int(time.time())
        header = {key[7:]: claims.pop(key) for key in list(claims) if key.startswith("header_")}
        key = claims.pop("key", self.key)
        made = {
            "iss": self.issuer(name),
            "aud": f"app-{name}",
            "iat": now,
            "exp": now + 120,
            "jti": secrets.token_urlsafe(),
            "events": {LOGOUT_EVENT: {}},
        } | claims
        made = {name: value for name, value in made.items() if value is not None}
        return key.sign(made, **{"typ": "logout+jwt"} | header)

    def claims_of(self, login: dict[str, Any]) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "iss": self.issuer(login["name"]),
            "sub": login["subject"],
            "aud": login["sent"]["client_id"],
            "exp": now + 300,
            "iat": now,
            "nonce": login["sent"].get("nonce"),
        } | login.get("claims", {})
        return {name: value for name, value in claims.items() if value is not None}

    def _answer(self, request: BaseHTTPRequestHandler, body: str) -> None:
        path = urlsplit(request.path).path
        self.asked.append(path)
        for ending, misbehaviour in self.misbehaviour.items():
            if path.endswith(ending):
                misbehaviour(request)
                return
        name, _, rest = path[1:].partition("/")
        answer: Any
        if rest == "authorize":  # a browser: whoever comes is logged in, and sent back
            back = self.log_in(self.issuer(name) + request.path[len(name) + 1 :], **self.next)
            there = parse_qs(urlsplit(request.path).query)["redirect_uri"][0]
            send(request, 302, b"", Location=f"{there}?{urlencode(back)}")
            return
        if rest == ".well-known/openid-configuration":
            answer = self._metadata(name)
        elif rest == "jwks":
            answer = {"keys": [key.jwk for key in self.published]}
        elif rest in ("token", "login/oauth/access_token"):
            answer = self._tokens(name, request, dict(parse_qsl(body)))
        else:
            login = self.codes[request.headers["Authorization"].removeprefix("Bearer at-")]
            answer = {
                "userinfo": {"sub": login["subject"]} | login.get("userinfo", {}),
                "api/v3/user": {"id": login["subject"], "login": "octocat"},
                "api/v3/user/emails": login.get("emails", []),
            }[rest]
        send(request, 200, json.dumps(answer).encode())

    def _metadata(self, name: str) -> dict[str, Any]:
        base = self.issuer(name)
        return {
            "issuer": base,
            "authorization_endpoint": f"{base}/authorize?tenant=1",
            "token_endpoint": f"{base}/token",
            "userinfo_endpoint": f"{base}/userinfo",
            "jwks_uri": f"{base}/jwks",
            "id_token_signing_alg_values_supported": ["ES256", "RS256", "HS256", "none"],
            **self.more_metadata.get(name, {}),
        }

    def _tokens(
        self, name: str, request: BaseHTTPRequestHandler, form: dict[str, str]
    ) -> dict[str, Any]:
        login = self.codes[form["code"]]
        sent = login["sent"]
        assert login["name"] == name, "a code of another provider"
        assert form["grant_type"] == "authorization_code"
        assert form["redirect_uri"] == sent["redirect_uri"]
        challenge = encoded(hashlib.sha256(form["code_verifier"].encode()).digest())
        assert challenge.decode() == sent["code_challenge"]
        if name == "one":
            basic = base64.b64decode(request.headers["Authorization"].removeprefix("Basic "))
            client_id, _, secret = basic.decode().partition(":")
            assert unquote_plus(client_id) == "app-one"
            assert unquote_plus(secret) == SECRET
        else:
            assert form["client_id"] == f"app-{name}"
        if name == "hub":
            return {"access_token": f"at-{form['code']}", "token_type": "bearer"}
        claims = self.claims_of(login)
        make = login.get("token")
        token = (
            make(claims)
            if make
            else login.get("key", self.key).sign(claims, **login.get("header", {}))
        )
        return {"access_token": f"at-{form['code']}", "token_type": "Bearer", "id_token": token}


def new_subject() -> str:
    return secrets.token_hex(8)


def send(request: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    """Answer a request."""
    request.send_response(status)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(body)


def slow(request: BaseHTTPRequestHandler) -> None:
    """Send a byte now and then, so that no single wait is long."""
    request.send_response(200)
    request.send_header("Content-Length", "1000")
    request.end_headers()
    with suppress(OSError):
        for _ in range(30):
            request.wfile.write(b" ")
            request.wfile.flush()
            time.sleep(0.1)
    request.close_connection = True


def huge(request: BaseHTTPRequestHandler) -> None:
    """Send ten megabytes."""
    request.send_response(200)
    request.send_header("Content-Length", str(10_000_000))
    request.end_headers()
    with suppress(OSError):
        request.wfile.write(b" " * 10_000_000)
    request.close_connection = True


def crumbling(request: BaseHTTPRequestHandler) -> None:
    """Send blanks, each in a chunk of its own."""
    request.send_response(200)
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    with suppress(OSError):
        request.wfile.write(b"1\r\n \r\n" * 5000 + b"0\r\n\r\n")
    request.close_connection = True


def broken(request: BaseHTTPRequestHandler) -> None:
    send(request, 503, b"{}")


def redirecting(to: str) -> Misbehaviour:
    return lambda request: send(request, 307, b"", Location=to)


def saying(value: Any) -> Misbehaviour:
    """Answer with this JSON, or these bytes."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return lambda request: send(request, 200, body)
