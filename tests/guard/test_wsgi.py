"""The WSGI middleware, and the thread that its verifier runs in."""

import asyncio
import io
import os
import signal
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from flask import Flask
from tools.testbed.parts import Parts
from tools.testbed.waiting import eventually

from service.guard import Identity, current_identity
from service.guard.fake_issuer import FakeIssuer, Login
from service.guard.rules import Requirement
from service.guard.verifier_thread import thread_of
from service.guard.wsgi import IDENTITY, GuardMiddleware
from tests.guard.guards import Guards, log_out
from tests.support.looking import ON_VALKEY


class Answered(msgspec.Struct):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        assert self.headers["Content-Type"] == "application/json"
        assert self.headers["Cache-Control"] == "no-store"
        assert int(self.headers["Content-Length"]) == len(self.body)
        return str(msgspec.json.decode(self.body)["error"]["code"])


def call(app: Any, path: str, authorization: str | None = None, **environ: Any) -> Answered:
    """Send a request as a server does, and read the answer to its end."""
    sent: list[Any] = []
    given = {
        "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": "",
        "SERVER_NAME": "pod", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr, "wsgi.multithread": True, "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    } | environ  # fmt: skip
    if authorization is not None:
        given["HTTP_AUTHORIZATION"] = authorization
    body = app(given, lambda status, headers, *_: sent.append((status, headers)))
    try:
        whole = b"".join(body)
    finally:
        getattr(body, "close", lambda: None)()
    [(status, headers)] = sent
    return Answered(int(status.split()[0]), dict(headers), whole)


def bearer(login: Login) -> str:
    return login.headers["Authorization"]


def flask_app(verifier: Any, **rules: Any) -> Any:
    app = Flask("shop")

    @app.route("/", defaults={"path": ""}, methods=["GET", "HEAD", "OPTIONS"])
    @app.route("/<path:path>", methods=["GET", "HEAD", "OPTIONS"])
    def whoami(path: str) -> str:
        identity = current_identity()
        return identity.user_id if identity else "nobody"

    @app.route("/stream")
    def stream() -> Any:
        def parts() -> Iterator[str]:
            for _ in range(2):
                identity = current_identity()
                yield identity.user_id if identity else "nobody"

        return parts(), {"Content-Type": "text/plain"}

    return GuardMiddleware(app.wsgi_app, verifier=verifier, **rules)


def test_flask_behind_the_guard(fake: FakeIssuer) -> None:
    """Each path but the public ones needs a token; refusals are those of the service."""
    app = flask_app(fake.verifier(), public=["/health"], optional=["/greeting"])
    ann = fake.log_in()
    me = ann.identity.user_id.encode()
    for path in ("/orders", "/", "/health/", "/files/x"):
        answer = call(app, path)
        assert (answer.status, answer.code) == (401, "unauthorized")
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="openshow"'
        assert (call(app, path, bearer(ann)).status, call(app, path, bearer(ann)).body) == (200, me)
    assert call(app, "/orders", REQUEST_METHOD="HEAD").body == b""
    assert call(app, "/health", "Bearer junk").body == b"nobody"
    assert call(app, "/greeting").body == b"nobody"
    assert call(app, "/greeting", bearer(ann)).body == me
    assert call(app, "/stream", bearer(ann)).body == me * 2
    for wrong in ("Bearer junk", bearer(ann) + "," + bearer(ann), f"{bearer(ann)}, Basic x"):
        for path in ("/orders", "/greeting"):
            answer = call(app, path, wrong)
            assert (answer.status, answer.code) == (401, "unauthorized")
            assert answer.headers["WWW-Authenticate"].endswith('error="invalid_token"')
    assert call(app, "/orders", "Basic x").status == 401
    fake.log_out(ann)
    assert call(app, "/orders", bearer(ann)).status == 401
    fake.lose_feed()
    answer = call(app, "/orders", bearer(fake.log_in()))
    assert (answer.status, answer.code) == (503, "service_unavailable")
    assert answer.headers["Retry-After"] == "1"
    assert current_identity() is None, "nothing is left in the thread of the server"


def test_what_a_path_requires(fake: FakeIssuer) -> None:
    """As in the ASGI middleware, also below a prefix, and however a path is spelt."""
    rules = {"require": {"/admin/": Requirement(methods={"otp"}, max_age=60)}, "public": ["/open/"]}
    app = flask_app(fake.verifier(), **rules)
    plain, strong = fake.log_in(), fake.log_in(methods={"pwd", "otp"})
    for path in ("/admin/x", "/ADMIN/x", "/admin", "/x/../admin/", "/admin;x", "//admin/"):
        answer = call(app, path, bearer(plain))
        assert (answer.status, answer.code) == (401, "insufficient_user_authentication"), path
    assert call(app, "/admin/x", bearer(plain), SCRIPT_NAME="/shop").status == 401
    assert call(app, "/admin/x", bearer(strong)).status == 200
    assert call(app, "/x", bearer(plain)).status == 200
    assert call(app, "/open/x").status == 200
    assert call(app, "/open/x", SCRIPT_NAME="/shop").status == 200
    for path, raw in (("/open/x", "/open%2fx"), ("/open/../x", ""), ("/open/\xc3\xa9", "")):
        assert call(app, path, RAW_URI=raw).status == 401, path
    preflight = {"REQUEST_METHOD": "OPTIONS", "HTTP_ORIGIN": "https://x"}
    preflight["HTTP_ACCESS_CONTROL_REQUEST_METHOD"] = "GET"
    assert call(app, "/x", **preflight).status == 401
    lenient = flask_app(fake.verifier(), allow_preflight=True)
    assert call(lenient, "/x", **preflight).status == 200


def test_an_event_source_by_its_cookie(fake: FakeIssuer) -> None:
    """Where it is allowed, and of the same origin, as the server has joined the headers."""
    events = {
        "HTTP_ACCEPT": "text/event-stream", "HTTP_SEC_FETCH_SITE": "same-origin",
        "HTTP_COOKIE": f"a=b; __Host-openshow_access={fake.log_in().token}",
    }  # fmt: skip
    app = flask_app(fake.verifier())
    allowing = flask_app(fake.verifier(), allow_cookie=True)
    assert call(app, "/x", **events).status == 401
    assert call(allowing, "/x", **events).status == 200
    other = events | {"HTTP_SEC_FETCH_SITE": "same-origin,cross-site"}
    assert call(allowing, "/x", **other).status == 401


def test_many_threads_share_one_start(fake: FakeIssuer) -> None:
    """Each is told its own caller; the verifier's thread is one, and ends when it is closed."""
    verifier = fake.verifier()
    app = flask_app(verifier)
    logins = [fake.log_in() for _ in range(32)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            answers = list(pool.map(lambda it: call(app, "/", bearer(it)).body.decode(), logins))
            assert answers == [login.identity.user_id for login in logins]
    ours = [it for it in threading.enumerate() if it.name == "openshow-guard"]
    assert thread_of(verifier)._thread in ours
    assert verifier.counters.key_fetches == 0
    thread_of(verifier).close()
    assert not set(ours) & set(threading.enumerate())
    assert call(app, "/", bearer(fake.log_in())).status == 503, "it was left"


def test_without_real_threads(fake: FakeIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to do, where gevent has replaced them: requests would wait for ever."""
    monkey = types.ModuleType("gevent.monkey")
    monkey.is_module_patched = lambda name: name == "threading"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gevent.monkey", monkey)
    app = flask_app(fake.verifier(), public=["/health"])
    assert call(app, "/health").status == 200
    with pytest.raises(RuntimeError, match="leave `thread` unpatched"):
        call(app, "/orders", bearer(fake.log_in()))


def in_a_fork(work: Callable[[], bool]) -> bool:
    """Whether work says yes in a process that was forked from this one, threads and all."""
    with warnings.catch_warnings():  # Python 3.12 warns of threads, which are what this is about
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        signal.alarm(60)  # rather than for ever
        try:
            os._exit(0 if work() else 3)
        finally:
            os._exit(4)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@ON_VALKEY
async def test_on_a_real_feed_and_after_a_fork(parts: Parts, guards: Guards) -> None:
    """A logout is seen; a forked process has a verifier of its own, and leaves this one alone."""
    verifier = guards.new()

    def plain(environ: Any, start_response: Any) -> list[bytes]:
        identity: Identity = environ[IDENTITY]
        start_response("200 OK", [])
        return [identity.user_id.encode()]

    app = GuardMiddleware(plain, verifier=verifier)
    ann, bob, new = [await parts.open(bytes(16)) for _ in range(3)]

    def status(token: str) -> int:
        return call(app, "/", f"Bearer {token}").status

    assert await asyncio.to_thread(status, ann.access_token) == 200
    assert await asyncio.to_thread(in_a_fork, lambda: status(new.access_token) == 200)
    await log_out(parts, ann)

    async def refused() -> bool:
        return await asyncio.to_thread(status, ann.access_token) == 401

    await eventually(refused)
    assert await asyncio.to_thread(status, bob.access_token) == 200
    assert await asyncio.to_thread(in_a_fork, lambda: status(ann.access_token) == 401)
    await asyncio.to_thread(thread_of(verifier).close)
