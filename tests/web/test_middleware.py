"""The outermost layer over an app that misbehaves, and the log lines it writes."""

import asyncio
import ipaddress
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from tools.testbed.service_process import Person, ServiceProcess
from tools.testbed.waiting import wait_until

from service import app
from service.web.addresses import TrustedProxies
from service.web.front_page import ROUTES as FRONT
from service.web.middleware import RequestMiddleware
from service.web.pages.routes import ROUTES as PAGES
from tests.support.log_state import configured
from tests.web.wire import Wire

SCOPE = {"type": "http", "method": "GET", "path": "/a", "raw_path": b"/a", "headers": []}


@pytest.fixture(autouse=True)
def logging_to_standard_output() -> Iterator[None]:
    with configured("info"):
        yield


App = Callable[[Any, Any, Any], Awaitable[None]]


async def answer_of(app: App, proxies: TrustedProxies | None = None, **scope: Any) -> list[Any]:
    """What `app` sends when it is asked through the outermost layer."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    wrapped = RequestMiddleware(app, proxies=proxies)
    await wrapped({**SCOPE, "state": {}, **scope}, receive, send)
    await asyncio.sleep(0)  # the log lines of a turn of the event loop are written after it
    return sent


async def test_an_app_that_fails_before_its_answer(capsysbinary: Any) -> None:
    """500 in the one shape with the request's id; the traceback is in the log under the same id."""

    async def app(*_: Any) -> None:
        raise ZeroDivisionError

    start, body = await answer_of(app)
    headers = dict(start["headers"])
    assert start["status"] == 500
    assert headers[b"content-type"] == b"application/json"
    assert int(headers[b"content-length"]) == len(body["body"])
    assert json.loads(body["body"])["error"]["code"] == "server_error"
    defect, line = map(json.loads, capsysbinary.readouterr().out.splitlines())
    assert "ZeroDivisionError" in defect["exception"]
    assert defect["request_id"] == line["request_id"] == headers[b"x-request-id"].decode()
    assert line["status"] == 500


async def test_an_app_that_fails_within_its_answer(capsysbinary: Any) -> None:
    """No second answer is begun: the server hangs up on the unfinished one."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    assert [message["type"] for message in await answer_of(app)] == ["http.response.start"]
    assert b"ZeroDivisionError" in capsysbinary.readouterr().out


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
async def test_other_scopes_pass(kind: str) -> None:
    """They reach the app as they are."""
    seen: list[Any] = []

    async def app(scope: Any, *_: Any) -> None:
        seen.append(scope)

    scope: Any = {"type": kind}
    await RequestMiddleware(app)(scope, None, None)  # type: ignore[arg-type]
    assert seen == [scope]


async def test_a_log_that_nobody_takes_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed standard output costs the lines, not the answers."""

    class Closed:
        class buffer:  # noqa: N801
            @staticmethod
            def write(_: bytes) -> None:
                raise BrokenPipeError

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    monkeypatch.setattr("sys.stdout", Closed)
    [start] = await answer_of(app)
    assert start["status"] == 200


def lines(service: ServiceProcess) -> list[dict[str, Any]]:
    """The log so far; each line of it must be JSON."""
    return [json.loads(line) for line in service.output().splitlines() if line.startswith("{")]


def line_of(service: ServiceProcess, request_id: str) -> dict[str, Any]:
    """The one line of a request, once it is written."""

    def found() -> list[dict[str, Any]]:
        return [
            line
            for line in lines(service)
            if line["event"] == "request" and line["request_id"] == request_id
        ]

    wait_until(found)
    [line] = found()
    return line


async def test_one_line_a_request(service: ServiceProcess, person: Person) -> None:
    """It says who asked for which route and how it went, and nothing of what was sent."""
    answer = await person.client.get(
        "/auth/me?token=SeCrEt", headers=person.bearer | {"X-Request-Id": "one-line"}
    )
    assert answer.status_code == 200
    line = line_of(service, "one-line")
    assert line.pop("ms") > 0
    assert line.pop("time").endswith("Z")
    assert line == {
        "event": "request",
        "level": "info",
        "request_id": "one-line",
        "method": "GET",
        "route": "/auth/me",
        "status": 200,
        "ip": "127.0.0.1",
        "user": answer.json()["user"]["id"],
        "session": person.tokens["sessionId"],
    }


async def test_a_refusal_says_why(service: ServiceProcess, person: Person, wire: Wire) -> None:
    """The line has the code of the answer and a reason, whoever has refused, and no value."""
    wrong = {"email": person.email, "password": "SeCrEt-SeCrEt"}
    asked: dict[str, tuple[str, str, dict[str, Any] | None]] = {
        "invalid_credentials": ("POST", "/auth/login", wrong),
        "bad_request": ("POST", "/auth/login", {"email": person.email}),
        "invalid_refresh_token": ("POST", "/auth/refresh", {"refreshToken": "SeCrEt"}),
        "unauthorized": ("GET", "/auth/me", None),
        "not_found": ("GET", "/SeCrEt", None),
        "method_not_allowed": ("PUT", "/auth/login", None),
        "uri_too_long": ("GET", "/auth/me?" + "SeCrEt" * 200, None),
    }
    for code, (method, path, body) in asked.items():
        answer = await person.client.request(
            method, path, json=body, headers={"X-Request-Id": f"why-{code}"}
        )
        assert answer.json()["error"]["code"] == code
        line = line_of(service, f"why-{code}")
        assert (line["code"], line["ip"]) == (code, "127.0.0.1")
        assert len(line["reason"]) > 5
        for secret in ("SeCrEt", person.email):
            assert secret not in json.dumps(line)


async def test_the_address_in_the_line_is_the_client_s(capsysbinary: Any) -> None:
    """As a trusted proxy names it, as limits and events have it, and none that one claims."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    peer, named = ("10.1.0.1", 1), [(b"x-forwarded-for", b"6.6.6.6, 2001:db8::7")]
    await answer_of(app, client=peer, headers=named)
    await answer_of(
        app, TrustedProxies([ipaddress.ip_network("10.1.0.0/16")]), client=peer, headers=named
    )
    await answer_of(app)
    lines = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert [line.get("ip") for line in lines] == ["10.1.0.1", "2001:db8::7", None]


async def test_no_secret_is_logged(service: ServiceProcess, person: Person, wire: Wire) -> None:
    """No token, address, query or path as sent, whether the request went well or not."""
    wire.ask("GET /SeCrEt?x=SeCrEt", "Authorization: Bearer SeCrEt", "X-Request-Id: s e-SeCrEt")
    wire.ask("DELETE /auth/sessions/SeCrEt", "Cookie: SeCrEt", "X-Request-Id: last-one")
    await person.refresh()
    await person.log_out()
    line_of(service, "last-one")
    log = service.output()
    for secret in ("SeCrEt", person.email, *list(person.tokens.values())[:2]):
        assert str(secret) not in log
    handlers = [*app._ROUTES, *app._MAILING, *FRONT, *PAGES]
    known = {path.replace(":str}", "}") for handler in handlers for path in handler.paths}
    assert {line["route"] for line in lines(service) if line["event"] == "request"} <= known | {"-"}


def test_a_client_that_leaves_in_mid_body(service: ServiceProcess, wire: Wire) -> None:
    """499 in the log, and no traceback: nothing went wrong here."""
    with wire.open() as connection:
        connection.sendall(
            b"POST /auth/login HTTP/1.1\r\nHost: test\r\nX-Request-Id: left-early\r\n"
            b'Content-Length: 1000\r\n\r\n{"email":'
        )
    assert line_of(service, "left-early")["status"] == 499
    related = [line for line in lines(service) if line.get("request_id") == "left-early"]
    assert len(related) == 1
    assert not [line for line in lines(service) if line["level"] == "error"]
