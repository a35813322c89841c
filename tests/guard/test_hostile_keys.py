"""Whatever is sent in place of the issuer's keys: it is limited, told, and the next fetch comes."""

import asyncio
import gzip
import json
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from resource import RUSAGE_SELF, getrusage
from typing import Any

import pytest
from tools.testbed.issuer import Issuer
from tools.testbed.parts import SESSION, SIGNING_KEYS, access_tokens
from tools.testbed.waiting import eventually

from service.guard import jwks
from service.guard.jwks import KeysUnavailable, parse
from service.keyring import signing
from service.keyring.signing import SigningKeys
from tests.guard.guards import Guards, verdict
from tests.support.run_queue import Stopwatch

OTHER_KEYS = SigningKeys([signing.mint()])
GOOD = json.loads(SIGNING_KEYS.jwks())["keys"]
THEIRS = json.loads(OTHER_KEYS.jwks())["keys"][0]


def token(keys: SigningKeys = SIGNING_KEYS) -> str:
    return access_tokens(keys).mint(SESSION)[0]


def jwk_set(*keys: Any) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


BODIES = {
    "brackets": b"[" * 60_000,
    "braces": b'{"a":' * 10_000,
    "brackets in the set": b'{"keys": [' + b"[" * 60_000,
    "brackets in a key": b'{"keys": [{"kid": ' + b"[" * 30_000 + b"]" * 30_000 + b"}]}",
    "brackets in an unknown member": b'{"x": ' + b"[" * 30_000 + b"]" * 30_000 + b', "keys": []}',
    "a number of 60,000 digits": b'{"keys": ' + b"9" * 60_000 + b"}",
    "such a number as a coordinate": b'{"keys": [{"kty":"EC","kid":"a","x":'
    + b"9" * 60_000
    + b"}]}",
    "an exponent": b'{"keys": [{"kid": 1e999999999}], "x": -1e-999999999}',
    "keys that are null": b'{"keys": null}',
    "keys that are a text": b'{"keys": "' + b"a" * 60_000 + b'"}',
    "10,000 nothings": b'{"keys": [' + b",".join([b"{}"] * 10_000) + b"]}",
    "10,000 numbers": b'{"keys": [' + b",".join([b"1"] * 10_000) + b"]}",
    "RSA only": jwk_set({"kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB"}),
    "points off the curve": jwk_set(
        *[GOOD[0] | {"kid": str(n), "y": GOOD[0]["x"]} for n in range(50)]
    ),
    "HTML": b"<!doctype html><title>Log in</title>",
    "nothing": b"",
    "UTF-16": '{"keys": []}'.encode("utf-16"),
    "half a set": SIGNING_KEYS.jwks()[:-20],
    "more than a set may have": SIGNING_KEYS.jwks() + b" " * 65_536,
    "one name, two keys": jwk_set(THEIRS | {"kid": "a"}, GOOD[0] | {"kid": "a"}),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_after_it_a_key_that_is_withdrawn_counts_no_more(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    """What is known goes on counting meanwhile; the refresher lives, and sees the key gone."""
    monkeypatch.setattr(jwks, "_SHORTEST_AGE", 0.1)
    monkeypatch.setattr(jwks, "_RETRY", 0.1)
    issuer.max_age = 0
    async with Guards(issuer, "") as guards:
        guard = await guards.start(mode="offline", jwks_floor=0)
        ours = token()
        assert await verdict(guard, ours) == "accepted"
        issuer.body = body
        failures = guard.counters.key_failures

        async def failed() -> bool:
            return guard.counters.key_failures >= failures + 2

        await eventually(failed)
        assert await verdict(guard, ours) == "accepted"
        assert await verdict(guard, token(OTHER_KEYS)) == "unavailable"
        issuer.publish(OTHER_KEYS)

        async def withdrawn() -> bool:
            return await verdict(guard, ours) == "refused"

        await eventually(withdrawn)
        assert await verdict(guard, token(OTHER_KEYS)) == "accepted"


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_a_guard_that_starts_with_it(issuer: Issuer, body: bytes) -> None:
    """It comes up, lets nobody in, and goes to work once there are keys."""
    good, issuer.body = issuer.body, body
    async with Guards(issuer, "") as guards:
        guard = await guards.start(mode="offline", jwks_floor=0)
        assert await verdict(guard, token()) == "unavailable"
        issuer.body = good

        async def accepted() -> bool:
            return await verdict(guard, token()) == "accepted"

        await eventually(accepted)


def test_a_defect_of_ours_ends_nothing(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is raised while a set is read, or by the refresher itself."""

    async def run() -> None:
        monkeypatch.setattr(jwks, "_RETRY", 0.05)
        monkeypatch.setattr(jwks, "_SHORTEST_AGE", 0.05)
        issuer.max_age = 0
        async with Guards(issuer, "") as guards:
            guard = await guards.start(mode="offline", jwks_floor=0)
            for name in ("parse", "max_age"):
                for error in (RecursionError, MemoryError, KeyError, AssertionError):

                    def fail(*_: Any, error: type[Exception] = error) -> Any:
                        raise error

                    with monkeypatch.context() as patched:
                        patched.setattr(jwks, name, fail)
                        failures = guard.counters.key_failures

                        async def failed(failures: int = failures) -> bool:
                            return guard.counters.key_failures > failures

                        await eventually(failed)
            issuer.publish(OTHER_KEYS)

            async def accepted() -> bool:
                return await verdict(guard, token(OTHER_KEYS)) == "accepted"

            await eventually(accepted)

    asyncio.run(run())


Answer = Callable[[BaseHTTPRequestHandler], None]


def redirect(request: BaseHTTPRequestHandler) -> None:
    request.send_response(302)
    request.send_header("Location", f"http://{request.headers['Host']}/keys")
    request.send_header("Content-Length", "0")
    request.end_headers()


def send(request: BaseHTTPRequestHandler, body: bytes, **headers: str) -> None:
    request.send_response(200)
    for name, value in ({"Content-Length": str(len(body))} | headers).items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    request.wfile.write(body)


def trickle(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    for byte in SIGNING_KEYS.jwks():
        request.wfile.write(bytes([byte]))
        request.wfile.flush()
        time.sleep(0.05)


def endless(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    for _ in range(4096):
        request.wfile.write(b" " * 65_536)


@cache
def bomb() -> bytes:
    """The beginning of an answer that takes a thousand times as much memory, made without it."""
    squeeze = zlib.compressobj(wbits=31)
    squeezed = squeeze.compress(SIGNING_KEYS.jwks())
    while len(squeezed) < 60_000:
        squeezed += squeeze.compress(b" " * 1_000_000)
    return squeezed[:60_000]


ANSWERS: dict[str, Answer] = {
    "a redirection": redirect,
    "a gzip bomb": lambda request: send(request, bomb(), Content_Encoding="gzip"),
    "gzip": lambda r: send(r, gzip.compress(SIGNING_KEYS.jwks()), Content_Encoding="gzip"),
    "less than was announced": lambda r: send(r, SIGNING_KEYS.jwks(), Content_Length="9999"),
    "a length that is none": lambda r: send(r, SIGNING_KEYS.jwks(), Content_Length="x"),
    "a slow trickle": trickle,
    "no end": endless,
}


@pytest.fixture
def stranger(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server at whose root is one of `ANSWERS`, and the real keys below it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                if self.path == "/keys":
                    send(self, SIGNING_KEYS.jwks())
                else:
                    (ANSWERS | {"a cookie": cookie})[request.param](self)
            except OSError:
                pass  # the guard has hung up

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("stranger", ANSWERS, indirect=True)
async def test_what_is_no_plain_answer(
    stranger: str, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is used, it takes neither long nor much memory, and the log has its reason."""
    monkeypatch.setattr(jwks, "_LONGEST_FETCH", 1.0)
    before, since = getrusage(RUSAGE_SELF).ru_maxrss, Stopwatch()
    async with Guards(issuer, "") as guards:
        guard = await guards.start(
            mode="offline", jwks_url=stranger, bound=timedelta(seconds=5), jwks_floor=60
        )
        assert since.own < 4
        assert await verdict(guard, token()) == "unavailable"
        assert guard.counters.key_failures == 1
    assert getrusage(RUSAGE_SELF).ru_maxrss - before < 20_000, "KiB"


COOKIES: list[str | None] = []
"""What came with each fetch."""


def cookie(request: BaseHTTPRequestHandler) -> None:
    COOKIES.append(request.headers["Cookie"])
    send(request, b"{}", Set_Cookie="a=b; Path=/; Max-Age=9999")


@pytest.mark.parametrize("stranger", ["a cookie"], indirect=True)
async def test_no_cookie_is_kept(
    stranger: str, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many of them would have each fetch refused from then on."""
    monkeypatch.setattr(jwks, "_RETRY", 0.05)
    COOKIES.clear()
    async with Guards(issuer, "") as guards:
        await guards.start(mode="offline", jwks_url=stranger, jwks_floor=0)

        async def asked_twice() -> bool:
            return len(COOKIES) >= 2

        await eventually(asked_twice)
    assert set(COOKIES) == {None}


def test_the_number_of_keys_is_limited() -> None:
    """As each costs a look at its point; and a name that two keys have is nobody's."""
    many = [json.loads(SigningKeys([signing.mint()]).jwks())["keys"][0] for _ in range(65)]
    assert len(parse(jwk_set(*many[:64]))) == 64
    with pytest.raises(KeysUnavailable, match="too many"):
        parse(jwk_set(*many))
    named = many[0] | {"kid": "a"}
    assert set(parse(jwk_set(named, named))) == {"a"}
    assert set(parse(jwk_set(named, many[1] | {"kid": "a"}, many[2]))) == {many[2]["kid"]}
    assert set(parse(jwk_set(named, many[1] | {"kid": "a"}, named))) == set()


@pytest.mark.parametrize("claim", ["issuer", "audience"])
async def test_a_guard_that_was_told_another_name(
    issuer: Issuer, caplog: pytest.LogCaptureFixture, claim: str
) -> None:
    """It says so once a minute, naming both, and neither token nor what else is in it."""
    theirs = {"issuer": "https://issuer.example", "audience": "audience"}[claim]
    async with Guards(issuer, "") as guards:
        guard = await guards.start(mode="offline", **{claim: "https://mine.example/x"})
        for _ in range(20):
            one = token()
            assert await verdict(guard, one) == "refused"
            assert one not in caplog.text
        (told,) = [r.getMessage() for r in caplog.records]
        assert claim in told
        assert repr(theirs) in told
        assert repr("https://mine.example/x") in told
        assert SESSION.user_id.hex() not in caplog.text
        assert SESSION.id.hex() not in caplog.text


async def test_a_name_in_a_token_cannot_split_the_log(
    issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    """The issuer's own, but long or with line breaks."""
    minted = access_tokens(issuer="x\r\nroot: " + "y" * 5000, audience="\x1b[2J").mint(SESSION)[0]
    async with Guards(issuer, "") as guards:
        guard = await guards.start(mode="offline")
        assert await verdict(guard, minted) == "refused"
    told = of_guards(caplog)
    assert len(told) == 2
    assert all(len(line) < 600 and line.isprintable() for line in told)


def of_guards(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What guards have logged, not what other libraries do."""
    return [r.getMessage() for r in caplog.records if r.name.startswith("openshow_auth")]


async def test_a_stranger_cannot_make_it_tell(
    issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    """What nobody of the issuer's has signed is refused without a word."""
    forged = access_tokens(OTHER_KEYS, issuer="https://mallory.example").mint(SESSION)[0]
    head, claims, _ = forged.split(".")
    ours = token().split(".")
    async with Guards(issuer, "") as guards:
        guard = await guards.start(mode="offline", jwks_floor=60)
        for junk in (forged, f"{ours[0]}.{claims}.{ours[2]}", f"{head}.{claims}.{ours[2]}"):
            assert await verdict(guard, junk) == "refused"
    assert of_guards(caplog) == []
