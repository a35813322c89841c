"""Spans, as a collector gets them: what a request did, nothing that is secret or personal."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD, PATIENT, Person, ServiceProcess, sign_up

from service.errors import SettingsError
from service.settings import Settings
from service.web.addresses import TrustedProxies
from service.web.tracing import TracingMiddleware
from tests.support.collector import Collector, collecting
from tests.support.looking import ON_VALKEY

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{}"
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Who receives the spans."""
    with collecting() as collector:
        yield collector


def attributes(span: Span) -> dict[str, str]:
    return {one.key: one.value.string_value or str(one.value.int_value) for one in span.attributes}


def started(
    directory: Path, keys: RedisServer, collector: Collector, **more: str
) -> ServiceProcess:
    settings = {
        "SERVICE_TRACING": "on",
        "SERVICE_TRACE_RATIO": "1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
    }
    return ServiceProcess(directory, keys.url, **settings | more, **PATIENT).start()


@ON_VALKEY
async def test_what_a_request_did(keys: RedisServer, tmp_path: Path, collector: Collector) -> None:
    """Request, use case, script and statement, each inside the other; a stop sends the rest."""
    service = started(tmp_path, keys, collector)
    async with httpx.AsyncClient(base_url=service.url) as client:
        person = await sign_up(client)
        cold = await person.log_in()
        assert (await cold.me()).status_code == 200
        assert (await client.post("/oauth/revoke", data={"token": "none"})).status_code == 200
        unknown = {"grant": "none", "codeVerifier": "none"}
        assert (await client.post("/auth/oauth/complete", json=unknown)).status_code == 400
        wrong = await client.post("/auth/login", json={"email": person.email, "password": "no"})
        assert wrong.status_code == 401
        ended = await cold.log_out()
        assert ended.status_code == 204
    assert service.stop() == 0

    (logout,) = collector.of("POST /auth/logout")
    assert logout.kind == Span.SPAN_KIND_SERVER
    told = attributes(logout)
    assert told["http.route"] == "/auth/logout"
    assert told["http.response.status_code"] == "204"
    assert told["http.request.id"] == ended.headers["x-request-id"] == logout.trace_id.hex()
    use_case = collector.inside(logout)["Sessions.log_out"]
    script = collector.inside(use_case)["EVALSHA sessions/end.lua"]
    assert script.kind == Span.SPAN_KIND_CLIENT
    assert attributes(script)["db.stored_procedure.name"] == "sessions/end.lua"
    (revoke,) = collector.of("POST /oauth/revoke")
    assert "PresentedTokens.revoke" in collector.inside(revoke)
    (complete,) = collector.of("POST /auth/oauth/complete")
    assert "ProviderAuthentication.complete" in collector.inside(complete)
    (signup,) = collector.of("POST /auth/signup")
    assert "INSERT" in collector.inside(collector.inside(signup)["PasswordAuthentication.sign_up"])
    refused = next(
        span
        for span in collector.of("POST /auth/login")
        if attributes(span)["http.response.status_code"] == "401"
    )
    assert refused.status.code == 0, "a wrong password is no fault of ours"
    attempt = collector.inside(refused)["PasswordAuthentication.log_in"]
    assert attributes(attempt)["error.type"] == "InvalidCredentials"
    assert f'"trace":"{logout.trace_id.hex()}"' in service.output()
    assert any(
        span.name == "unwrap by local" or span.name == "wrap by local" for span in collector.spans
    )
    for secret in secrets(person, cold):
        assert secret.encode() not in collector.raw


def secrets(*persons: Person) -> list[str]:
    kinds = ("accessToken", "refreshToken")
    tokens = [str(person.tokens[kind]) for person in persons for kind in kinds]
    return [PASSWORD, persons[0].email, "127.0.0.1", *tokens]


async def test_a_state_in_two_fields() -> None:
    """Both count, as in HTTP (W3C's Trace Context, 3.3.1.3), whatever server runs the app."""
    begun: list[tuple[str, str, bool]] = []

    class Told:
        def begin(self, *call: Any) -> None:
            begun.append(call)

    async def app(*_: object) -> None:
        """What is traced."""

    traced = TracingMiddleware(app, lambda: cast(Any, Told()), TrustedProxies([]))
    fields = [(b"traceparent", b"1"), (b"tracestate", b"a=1"), (b"tracestate", b"b=2")]
    scope: Any = {"type": "http", "headers": fields, "state": {}, "client": None}
    await traced(scope, cast(Any, app), cast(Any, app))
    assert begun == [("1", "a=1, b=2", False)]


@ON_VALKEY
@pytest.mark.parametrize(
    ("trusted", "flags", "ratio", "continued", "kept"),
    [
        ("127.0.0.0/8", "01", "0", True, True),
        ("127.0.0.0/8", "00", "1", True, False),
        ("", "01", "0", False, False),
        ("", "01", "1", False, True),
    ],
)
async def test_the_trace_of_a_caller(
    keys: RedisServer,
    tmp_path: Path,
    collector: Collector,
    trusted: str,
    flags: str,
    ratio: str,
    continued: bool,
    kept: bool,
) -> None:
    """A trusted proxy decides; of a stranger's trace nothing is taken but a link to it."""
    service = started(
        tmp_path, keys, collector, SERVICE_TRUSTED_PROXIES=trusted, SERVICE_TRACE_RATIO=ratio
    )
    async with httpx.AsyncClient(base_url=service.url) as client:
        headers = {"traceparent": PARENT.format(flags), "x-request-id": "theirs"}
        for state in ("Written by anybody", f"written={'x' * 9_000}"):
            odd = await client.get(
                "/health/live", headers={**headers, "tracestate": state, "x-request-id": "odd"}
            )
            assert odd.status_code == 200
        answer = await client.get("/.well-known/jwks.json", headers=headers)
        assert answer.headers["x-request-id"] == "theirs"
        for other in ("00-xyz", "ff" + PARENT.format("01"), "\xe9" * 55, "0" * 5_000):
            bad = await client.get(
                "/.well-known/jwks.json", headers={"traceparent": other.encode("latin-1")}
            )
            assert bad.status_code == 200
        fields = [("host", "a.example"), *[("x-more", "1")] * 99]
        full = httpx.Request("GET", f"{service.url}/.well-known/jwks.json", headers=fields)
        assert len(full.headers.raw) == 100
        assert (await client.send(full)).status_code == 200, "a trace adds no field to a request"
    assert service.stop() == 0
    assert "Written" not in service.output()
    assert "exceeded" not in service.output(), "a caller writes nothing into the log"
    (line,) = [line for line in service.output().splitlines() if '"request_id":"theirs"' in line]
    assert (f'"trace":"{TRACE}"' in line) == continued
    spans = collector.of("GET /.well-known/jwks.json")
    ours = [span for span in spans if attributes(span)["http.request.id"] == "theirs"]
    assert bool(ours) == kept
    for span in ours:
        assert (span.trace_id.hex() == TRACE) == continued
        assert [link.trace_id.hex() for link in span.links] == ([] if continued else [TRACE])


@ON_VALKEY
async def test_a_collector_that_is_away(keys: RedisServer, tmp_path: Path) -> None:
    """Nobody waits for it: requests are served, and the stop is as quick as ever."""
    nowhere = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    service = ServiceProcess(
        tmp_path, keys.url, SERVICE_TRACING="on", SERVICE_TRACE_RATIO="1", **nowhere, **PATIENT
    ).start()
    async with httpx.AsyncClient(base_url=service.url) as client:
        assert (await (await sign_up(client)).me()).status_code == 200
    assert service.stop() == 0


def test_off_it_is_not_even_imported() -> None:
    """What is not traced pays nothing, in memory neither."""
    program = (
        "import sys; from service.app import create_app; from service.settings import Settings;"
        " create_app(Settings()); names = ('service.tracing.telemetry', 'opentelemetry.exporter');"
        " print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("ratio", ["-0.1", "1.1", "nan", "1e-3", "0,1", "½", "2"])
def test_a_wrong_ratio_stops_the_start(ratio: str) -> None:
    """One line, which says what it must be."""
    line = "SERVICE_TRACE_RATIO must be a number from 0 to 1, such as 0.01"
    with pytest.raises(SettingsError, match=f"^{line}$"):
        Settings.from_environment({"SERVICE_TRACE_RATIO": ratio})
