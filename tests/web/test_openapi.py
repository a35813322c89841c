"""The OpenAPI document, its page, docs/api.md and what the service really answers: all the same."""

import re
import sqlite3
from contextlib import closing
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from tools.testbed.redis_server import REPOSITORY, RedisServer
from tools.testbed.service_process import PASSWORD, Person, ServiceProcess, sign_up

from service.web.answers import FRAMEWORK, TABLE
from tests.authentication.test_password_change import NEW, change
from tests.authentication.test_reauthentication import reauthenticate
from tests.support.two_factor import Holder, let_steps_pass, new_holder
from tests.web.wire import MAILING, ROUTES, error_of

PAGE = (REPOSITORY / "docs/api.md").read_text(encoding="utf-8")

Codes = set[tuple[str, str]]


@pytest.fixture(scope="module")
def document(shared_service: ServiceProcess) -> Any:
    """As the service serves it."""
    shared_service.resume()  # a test of another module may have held it
    return httpx.get(f"{shared_service.url}/schema/openapi.json").raise_for_status().json()


def operations(document: Any) -> dict[str, Any]:
    """All but the OAuth endpoints, whose errors have another shape."""
    return {
        call: operation
        for call, operation in all_operations(document).items()
        if not call.startswith("POST /oauth/")
    }


def all_operations(document: Any) -> dict[str, Any]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading of docs/api.md."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


OPERATORS = (REPOSITORY / "docs/operators.md").read_text(encoding="utf-8")

GENERAL = {tuple(row[:2]) for row in ((r[0], r[1].strip("`")) for r in rows("Errors"))}
CALLS = {row[0].strip("`"): row[1:] for row in rows("Calls")}


def codes_of(text: str) -> Codes:
    """`400 `a`, 401 `b`` as pairs."""
    return set(re.findall(r"(\d{3}) `(\w+)`", text))


def documented_codes(operation: Any) -> Codes:
    return {
        (status, code)
        for status, response in operation["responses"].items()
        if "ErrorBody" in str(response.get("content"))
        for code in re.findall(r"`(\w+)`", response["description"])
    }


def test_the_same_calls(document: Any) -> None:
    """docs/api.md, the document and the routes that these tests ask list the same calls."""
    assert set(operations(document)) == set(CALLS)
    named = {re.sub(r"[0-9a-f]{24}$", "{id}", call) for call in [*ROUTES, *MAILING]}
    ours = {call.replace("/oauth/one/", "/oauth/{provider}/") for call in named}
    assert ours == set(CALLS)


@pytest.mark.parametrize("call", CALLS)
def test_the_same_answers(document: Any, call: str) -> None:
    """Success, errors of its own, and the general errors that follow from what the call takes."""
    takes, answers, own = CALLS[call]
    operation = operations(document)[call]
    statuses = {s for s in operation["responses"] if s < "300"}
    assert statuses == set(re.findall(r"\b2\d\d\b", answers))
    found = documented_codes(operation)
    assert found - GENERAL == codes_of(own)
    assert found >= {
        ("408", "request_timeout"),
        ("413", "payload_too_large"),
        ("414", "uri_too_long"),
        ("431", "headers_too_large"),
    }
    if call != "GET /health/ready":
        assert ("500", "server_error") in found
    assert (
        (("401", "unauthorized") in found) == ("Bearer" in takes) == bool(operation.get("security"))
    )
    body = "{" in takes
    assert body == ("requestBody" in operation)
    assert (("415", "unsupported_media_type") in found) == body
    assert (("400", "bad_request") in found) == body
    if body:
        assert operation["requestBody"]["required"] == ("optional" not in takes)


def test_the_same_fields(document: Any) -> None:
    """Bodies named in docs/api.md have exactly those fields in the document."""
    schemas = document["components"]["schemas"]
    for name, text in {
        "CredentialsBody": "{email, password, resource: null}",
        "PasswordResetBody": "{token, password}",
        "RefreshBody": "{refreshToken, resource: null}",
        "LogoutBody": "{refreshToken}",
        "LogoutAllBody": "{keepCurrent: false}",
        "RevokedBody": "{revoked}",
        "MeBody": "{user, session}",
        "TokenPairBody": '{accessToken, refreshToken, tokenType: "Bearer", expiresIn, sessionId}',
        "TwoFactorBody": "{enabled, recoveryCodesLeft}",
        "ChallengeBody": "{challengeId, expiresAt, methods}",
        "ChallengeAnswerBody": "{challengeId, code, resource: null}",
        "EnrollmentBody": "{tempSecretId, otpauthUrl, expiresAt, message}",
        "VerifyBody": "{tempSecretId, code, endOtherSessions: false}",
        "EnabledBody": "{enabled, recoveryCodes}",
        "CodeBody": "{code, endOtherSessions: false}",
        "PasswordChangeBody": "{currentPassword, newPassword}",
        "RecoveryCodesBody": "{recoveryCodes}",
        "UserBody": "{id, email, emailVerified, twoFA: {enabled, recoveryCodesLeft}, createdAt}",
        "ExportBody": "{exportedAt, account, sessions, factors, identities, events}",
        "AccountBody": "{id, email, emailVerified, createdAt, passwordChangedAt}",
        "SessionBody": "{id, createdAt, lastUsedAt, expiresAt, ipAddress, userAgent, current}",
    }.items():
        assert text in PAGE, name
        flat = re.sub(r": \{.*?\}|: [\w\"]+", "", text[1:-1])
        assert set(schemas[name]["properties"]) == set(flat.split(", ")), name


def test_headers_are_documented(document: Any) -> None:
    """The request id everywhere; challenge, delay and no-store where they belong."""
    for call, operation in operations(document).items():
        for status, response in operation["responses"].items():
            headers = set(response["headers"])
            assert "X-Request-Id" in headers
            is_error = "ErrorBody" in str(response.get("content"))
            assert ("WWW-Authenticate" in headers) == (status == "401")
            assert ("Location" in headers) == (status == "303")
            assert ("Retry-After" in headers) == (status in ("429", "503") and is_error)
            if "TokenPair" in str(response) or "SignedIn" in str(response):
                assert ("403", "origin_not_allowed") in documented_codes(operation), call
                assert response["headers"]["Cache-Control"]["schema"]["const"] == "no-store", call


def test_bodies_of_several_kinds_are_of_any(document: Any) -> None:
    """No answer is of exactly one kind: with the account alone it is of the lesser one as well."""
    contents = [
        content["schema"]
        for operation in all_operations(document).values()
        for response in operation["responses"].values()
        for content in response.get("content", {}).values()
    ]
    assert not [schema for schema in contents if "oneOf" in schema]
    complete = operations(document)["POST /auth/oauth/complete"]["responses"]["200"]
    kinds = complete["content"]["application/json"]["schema"]["anyOf"]
    names = [kind["$ref"].rpartition("/")[2] for kind in kinds]
    assert names == ["SignedInBody", "LinkedBody"]
    signed_in, linked = (document["components"]["schemas"][name] for name in names)
    assert set(signed_in["properties"]) > set(linked["properties"])


def test_every_reference_leads_somewhere(document: Any) -> None:
    """And every operation has an id of its own."""
    for name in re.findall(r"#/components/schemas/(\w+)", str(document)):
        assert name in document["components"]["schemas"]
    ids = [operation["operationId"] for operation in operations(document).values()]
    assert len(ids) == len(set(ids))
    assert document["openapi"].startswith("3.1")
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


ELSEWHERE = "/auth/oauth|/auth/email|/reset/request"
"""Calls that take a provider (tests/oauth/test_documented.py), or mails (tests/mail)."""


async def test_what_is_documented_is_what_is_answered(
    service: ServiceProcess,
    http: httpx.AsyncClient,
    document: Any,
    person: Person,
    keys: RedisServer,
) -> None:
    """Each call as documented gives its success, with the fields of the schema that is named."""
    holder = await new_holder(http)
    bodies = {
        "POST /auth/signup": {"email": "another@example.com", "password": PASSWORD},
        "POST /auth/login": {"email": person.email, "password": PASSWORD},
        "POST /auth/refresh": {"refreshToken": person.tokens["refreshToken"]},
        "POST /auth/reauthenticate": {
            "refreshToken": person.tokens["refreshToken"],
            "password": PASSWORD,
        },
        "POST /auth/password/change": {"currentPassword": PASSWORD, "newPassword": NEW},
        "POST /auth/password/reset": {
            "token": reset_token(service, (await sign_up(http)).email),
            "password": "another good password",
        },
    }
    story = [call for call in operations(document) if not re.search(ELSEWHERE + "|2fa", call)]
    for call in (*story, *SECOND_FACTOR):
        let_steps_pass(keys)
        who: Person = holder if call in SECOND_FACTOR else person
        if "/logout" in call:
            who = await person.log_in()
        if call in ("POST /auth/password/change", "POST /auth/account/delete"):
            who = await new_holder(http)
        body = bodies.get(call, {"refreshToken": who.tokens["refreshToken"]})
        if call in SECOND_FACTOR:
            body = await holder_body(holder, call)
        other = await person.log_in()
        method, path = call.split()
        operation = operations(document)[call]
        answer = await http.request(
            method,
            path.replace("{id}", other.session_id),
            json=body,
            headers=who.bearer if operation.get("security") else {},
        )
        matches_its_schema(document, call, answer)
        if call == "POST /auth/2fa/enable":
            holder.scan(answer.json())
        if call.endswith("/logout/all"):
            person = await person.log_in()


def reset_token(service: ServiceProcess, email: str) -> str:
    """The token of a link that an operator has printed."""
    printed = service.command("users", "reset-password", email, "--reason", "a test")
    return printed.split()[0].partition("#reset=")[2]


SECOND_FACTOR = [
    "POST /auth/2fa/enable",
    "POST /auth/2fa/verify",
    "POST /auth/2fa/recovery-codes",
    "POST /auth/login",
    "POST /auth/login/2fa",
    "POST /auth/2fa/disable",
]
"""In the order in which somebody with a phone can make these calls."""


async def holder_body(holder: Holder, call: str) -> dict[str, Any]:
    """What somebody with a phone sends with each of them."""
    if call == "POST /auth/2fa/enable":
        return {}
    if call == "POST /auth/login":
        return {"email": holder.email, "password": PASSWORD}
    body: dict[str, Any] = {"code": holder.phone.code()}
    if call == "POST /auth/2fa/verify":
        body["tempSecretId"] = holder.temp_secret_id
    if call == "POST /auth/login/2fa":
        body["challengeId"] = await holder.challenge()
    return body


def matches_its_schema(document: Any, call: str, answer: httpx.Response) -> None:
    """A success that is documented, with exactly the fields of its schema."""
    responses = operations(document)[call]["responses"]
    status = str(answer.status_code)
    assert status in responses, (call, answer.text)
    assert status < "300", (call, answer.text)
    content = responses[status].get("content", {})
    if reference := str(content.get("application/json", {}).get("schema", {}).get("$ref", "")):
        schema = document["components"]["schemas"][reference.rpartition("/")[2]]
        while_stopping = {"process", "mail"} if call == "GET /health/ready" else set()
        assert set(answer.json()) == set(schema["properties"]) - while_stopping, call
    if content:
        assert answer.headers["content-type"].split(";")[0] in content, call


NO_AUDIENCE = {"resource": "https://nobody.example"}


async def test_errors_of_its_own(
    service: ServiceProcess, http: httpx.AsyncClient, person: Person
) -> None:
    """Each code that docs/api.md gives a call can be brought about, with the status it says."""
    spent = person.tokens["refreshToken"]
    other = await person.log_in()
    successor = (await other.refresh()).json()["refreshToken"]
    await other.refresh(successor)  # spends it: the first is now out of its grace
    new = {"email": "nobody@example.com", "password": PASSWORD}
    right = {"email": person.email, "password": PASSWORD}
    without, enrolled = await new_holder(http), await (await new_holder(http)).enrol()
    await without.begin()
    without_password = await new_holder(http)
    reused = await person.log_in()
    await reused.holding((await reused.refresh()).json()).refresh()
    disabled = await new_holder(http)
    with closing(sqlite3.connect(service.directory / "var/service.db")) as database:
        forget = "UPDATE users SET password_hash = '' WHERE email = ?"
        database.execute(forget, (without_password.email,))
        database.commit()
    service.command("users", "disable", disabled.email, "--reason", "a test", "--yes")
    reset = reset_token(service, person.email)
    seen = {
        "POST /auth/signup": [
            await http.post("/auth/signup", json=new | {"password": "password"}),
            await http.post("/auth/signup", json=right),
            await http.post("/auth/signup", json=new | NO_AUDIENCE),
        ],
        "POST /auth/login": [
            await http.post("/auth/login", json=new),
            await http.post("/auth/login", json=right | {"email": disabled.email}),
            await http.post("/auth/login", json=right | NO_AUDIENCE),
        ],
        "POST /auth/login/2fa": [
            await enrolled.answer(await enrolled.challenge(), ""),
            await enrolled.answer("", ""),
            await http.post("/auth/login/2fa", json={"challengeId": "", "code": ""} | NO_AUDIENCE),
        ],
        "POST /auth/2fa/enable": [await enrolled.enable()],
        "POST /auth/2fa/verify": [
            await enrolled.verify(), await without.verify(""), await without.verify("", "x"),
        ],
        "POST /auth/2fa/disable": [await without.disable(""), await enrolled.disable("")],
        "POST /auth/2fa/recovery-codes": [await without.renew(""), await enrolled.renew("")],
        "POST /auth/password/change": [
            await change(without, "wrong", NEW),
            await change(without, PASSWORD, "short"),
            await change(without, PASSWORD, PASSWORD),
            await change(without_password, "", NEW),
        ],
        "POST /auth/password/reset": [
            await http.post("/auth/password/reset", json={"token": token, "password": password})
            for token, password in ((reset, "password"), ("x", PASSWORD))
        ],
        "POST /auth/refresh": [
            await person.refresh(spent + "x"),
            await other.refresh(),
            await http.post("/auth/refresh", json={"refreshToken": "x"} | NO_AUDIENCE),
        ],
        "POST /auth/reauthenticate": [
            await reauthenticate(person, password="wrong"),
            await reauthenticate(enrolled, code=""),
            await reauthenticate(enrolled, password=PASSWORD),
            await reauthenticate(person, password=PASSWORD, refreshToken=""),
            await reauthenticate(reused, password=PASSWORD),
            await reauthenticate(person, password=PASSWORD, **NO_AUDIENCE),
        ],
        "POST /auth/logout": [await person.log_out(spent + "x")],
        "DELETE /auth/sessions/{id}": [
            await http.delete("/auth/sessions/no-id", headers=person.bearer)
        ],
    }  # fmt: skip
    for call, (_, _, own) in CALLS.items():
        if re.search(ELSEWHERE, call):
            continue
        answered = {(str(a.status_code), error_of(a)) for a in seen.get(call, [])}
        brought_about = codes_of(own) - {("403", "email_not_verified")}
        if call == "POST /auth/password/change":  # names none: it is the session's, if taken off
            brought_about -= {("400", "invalid_target")}
        assert answered == brought_about, call


class _Loads(HTMLParser):
    """Collects what a browser would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {name for name, _ in attrs}
        if tag in ("script", "link", "img", "iframe", "base") or names & {"src", "style"}:
            self.found.append(self.get_starttag_text() or tag)


async def test_the_page_loads_its_own_files_alone(http: httpx.AsyncClient) -> None:
    """Each by a relative address, as a browser keeps it, under a policy that allows no other."""
    answer = await http.get("/schema")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; ")
    loads = _Loads()
    loads.feed(answer.text)
    names = re.findall(r'(?:src|href)="schema/([^"]+)"', "".join(loads.found))
    assert names == ["swagger-ui.css", "swagger-ui-bundle.js", "page.js"]
    assert len(loads.found) == len(names) + 1  # the icon, which is empty
    for name in names:
        file = await http.get(f"/schema/{name}")
        kind = "text/css" if name.endswith(".css") else "text/javascript"
        assert file.headers["content-type"] == f"{kind}; charset=utf-8"
        assert file.headers["cache-control"] == "no-cache"
        known = {"If-None-Match": file.headers["etag"]}
        kept = await http.get(f"/schema/{name}", headers=known)
        assert (kept.status_code, kept.content) == (304, b"")
    for name in ("index.html", "swagger-ui.js", "..", "schema_page.py"):
        assert (await http.get(f"/schema/{name}")).status_code == 404


ANYWHERE = {("408", "request_timeout"), ("414", "uri_too_long"), ("431", "headers_too_large")}


def test_the_oauth_endpoints(document: Any) -> None:
    """docs/api.md and the document have the same calls, with the same errors, of one shape."""
    told = {row[0].strip("`"): row[1:] for row in rows("For other software")}
    ours = {
        call: operation
        for call, operation in all_operations(document).items()
        if call not in operations(document)
    }
    assert set(ours) == set(told)
    for call, operation in ours.items():
        found = {
            (status, code)
            for status, response in operation["responses"].items()
            if "OAuthErrorBody" in str(response.get("content"))
            for code in re.findall(r"`(\w+)`", response["description"])
        }
        general = {
            ("413", "invalid_request"), ("500", "server_error"), ("503", "service_unavailable"),
            ("503", "revocation_unconfirmed"), *ANYWHERE,
        }  # fmt: skip
        assert found >= ANYWHERE
        assert "/ErrorBody'" not in str(operation["responses"]), "another shape"
        assert found - general == codes_of(told[call][2]), call
        [media_type] = operation["requestBody"]["content"]
        form = "application/x-www-form-urlencoded"
        assert media_type == (form if "form" in told[call][0] else "application/json")
        assert operation["requestBody"]["required"]


def test_every_code_is_in_both(document: Any) -> None:
    """Whatever the table of errors can answer stands in docs/api.md and in the document."""
    answers = {*TABLE.values(), *FRAMEWORK.values()}
    can_be = {(str(answer.status), answer.code) for answer in answers}
    in_page = GENERAL | {pair for row in CALLS.values() for pair in codes_of(row[2])}
    of_operators = codes_of(OPERATORS)
    assert can_be - in_page - of_operators == set()
    can_be -= of_operators - in_page
    in_document = set[tuple[str, str]]().union(
        *map(documented_codes, operations(document).values())
    )
    # Refused before any route is known, so no operation of the document can have them.
    nowhere = {
        (s, c) for s, c in can_be if s in ("404", "405", "408", "414", "431") and c in NOWHERE
    }
    assert can_be - nowhere - in_document == set()


NOWHERE = {
    *("not_found", "method_not_allowed", "request_timeout", "uri_too_long", "headers_too_large"),
}
