"""The calls of mail over HTTP, to a service that writes its mails into a folder."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import httpx
import pytest
from tools.testbed.access import SERVICE
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import (
    PASSWORD,
    PATIENT,
    Person,
    ServiceProcess,
    code_of,
    sign_up,
)
from tools.testbed.waiting import eventually

from service.redis.keys import bucket
from tests.mail.conftest import until
from tests.support.living import lend
from tests.support.looking import ON_VALKEY, events, watching
from tests.support.two_factor import new_holder

pytestmark = ON_VALKEY
NEW = "another good password"


class Mails:
    """The mails in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def of(self, address: str, kind: str = "") -> list[EmailMessage]:
        found = []
        for path in sorted(self.folder.glob(f"*{kind and '-' + kind + '-'}*.eml")):
            mail = message_from_bytes(path.read_bytes(), policy=policy.SMTP)
            assert isinstance(mail, EmailMessage)
            if mail["To"] == address:
                found.append(mail)
        return found

    async def token(self, address: str, kind: str, count: int = 1) -> str:
        """The token in the newest of so many mails, once they are there."""
        await until(lambda: len(self.of(address, kind)) >= count)
        return newest(self.of(address, kind))


def text(mail: EmailMessage) -> str:
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def newest(mails: list[EmailMessage]) -> str:
    [token] = {
        token for mail in mails[-1:] for token in re.findall(r"#\w+=(osm_[\w-]+)", text(mail))
    }
    return token


@pytest.fixture(scope="module")
def mailing(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """A service with mail, where addresses may be verified."""
    directory = tmp_path_factory.mktemp("mailing")
    service = ServiceProcess(
        directory,
        redis_server.url_of(SERVICE),
        SERVICE_MAIL_URL=f"file://{directory}/mail",
        SERVICE_EMAIL_VERIFICATION="optional",
        SERVICE_RATE_LIMIT="on",
        **PATIENT,
    )
    yield from lend("mailing", service)
    assert "osm_" not in service.output()
    assert "@example.com" not in service.output()


@pytest.fixture(scope="module")
def demanding(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """A service where addresses must be verified."""
    directory = tmp_path_factory.mktemp("demanding")
    service = ServiceProcess(
        directory,
        redis_server.url_of(SERVICE),
        SERVICE_MAIL_URL=f"file://{directory}/mail",
        SERVICE_EMAIL_VERIFICATION="required",
        **PATIENT,
    )
    yield from lend("demanding", service)


@pytest.fixture
async def http(mailing: ServiceProcess, keys: RedisServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=mailing.url, timeout=30) as client:
        yield client


@pytest.fixture
def mails(mailing: ServiceProcess) -> Mails:
    return Mails(mailing.directory / "mail")


@pytest.fixture
async def person(http: httpx.AsyncClient) -> Person:
    return await sign_up(http)


async def ask(http: httpx.AsyncClient, email: str) -> httpx.Response:
    return await http.post("/auth/password/reset/request", json={"email": email})


async def post(http: httpx.AsyncClient, path: str, who: Person | None = None, **body: object):  # type: ignore[no-untyped-def]
    headers = who.bearer if who else {}
    return await http.post(f"/auth/{path}", json=body, headers=headers)


async def test_a_reset(http: httpx.AsyncClient, mails: Mails, person: Person) -> None:
    """From the mail to the new password: sessions end, the link works once, the owner is told."""
    answer = await ask(http, person.email.upper())
    assert (answer.status_code, answer.json()) == (202, {"expiresIn": 600})
    token = await mails.token(person.email, "reset")
    weak = await post(http, "password/reset", token=token, password="short")
    assert code_of(weak) == (400, "weak_password")
    outcomes = await asyncio.gather(
        *(post(http, "password/reset", token=token, password=NEW) for _ in range(20))
    )
    assert sorted(answer.status_code for answer in outcomes if answer.status_code != 503)[0] == 204
    assert [answer.status_code for answer in outcomes].count(204) == 1
    assert (await person.me()).status_code == 401
    assert (await person.refresh()).status_code == 401
    again = await person.log_in(NEW)
    assert (await again.me()).json()["user"]["emailVerified"] is True
    await until(lambda: mails.of(person.email, "password_changed"))


async def test_everybody_gets_one_answer(
    http: httpx.AsyncClient, mails: Mails, person: Person, keys: RedisServer
) -> None:
    """After the same commands to Redis; of who has no account nothing stays, and nobody is written
    to."""
    seen, before = [], set(mails.folder.glob("*-reset-*"))
    strangers = ("nobody@example.com", "no address", "x" * 60_000, "a\r\nBcc: b@example.com", "")
    for email in (person.email, *strangers):
        with watching(keys) as watched:
            answer = await ask(http, email)
        assert (answer.status_code, answer.json()) == (202, {"expiresIn": 600})
        seen.append([name for name in watched.from_clients if name == "EVALSHA"][:2])
    assert seen == [["EVALSHA", "EVALSHA"]] * 6
    await mails.token(person.email, "reset")
    [sent] = set(mails.folder.glob("*-reset-*")) - before
    assert f"To: {person.email}\r\n".encode() in sent.read_bytes()
    with keys.client() as client:
        await until(lambda: len(list(client.scan_iter("ticket:*:reset:*"))) == 1)
        assert len(list(client.scan_iter("mail:*"))) <= 2, "that of the reset, and of the sign-up"
    assert code_of(await http.post("/auth/password/reset/request", json={"email": 5})) == (
        400,
        "bad_request",
    )


async def test_floods(
    http: httpx.AsyncClient, mails: Mails, person: Person, keys: RedisServer
) -> None:
    """Three mails an hour, and the last link stays good; twenty calls from a network."""
    for _ in range(3):
        await ask(http, person.email)
    token = await mails.token(person.email, "reset", 3)
    answers = [await ask(http, person.email) for _ in range(18)]
    assert [answer.status_code for answer in answers] == [202] * 17 + [429]
    assert int(answers[-1].headers["Retry-After"]) > 800
    suppressed = [row for row in events(keys, person.user_id) if row["type"] == "mail.suppressed"]
    assert len(suppressed) == 17
    assert {(row["purpose"], row["reason"]) for row in suppressed} == {("reset", "limit")}
    done = await post(http, "password/reset", token=token, password=NEW)
    assert done.status_code == 204
    assert len(mails.of(person.email, "reset")) == 3


@pytest.mark.parametrize("call", ["verify/request", "change"])
async def test_calls_that_change_little(http: httpx.AsyncClient, call: str) -> None:
    """Each writes an event when no more mails go out: sixty a minute."""
    ann = await sign_up(http)
    body = {"email": "else@example.com"} if call == "change" else {}
    answers = [await post(http, f"email/{call}", ann, **body) for _ in range(61)]
    assert [answer.status_code for answer in answers] == [202] * 60 + [429]


async def test_an_address_is_verified(http: httpx.AsyncClient, mails: Mails) -> None:
    """By the link of the sign-up or a newer one, without being signed in."""
    ann, bob = await sign_up(http), await sign_up(http)
    assert (await ann.me()).json()["user"]["emailVerified"] is False
    first = await mails.token(ann.email, "verify")
    asked = await post(http, "email/verify/request", ann)
    assert (asked.status_code, asked.json()) == (202, {"expiresIn": 86_400})
    second = await mails.token(ann.email, "verify", 2)
    others = await mails.token(bob.email, "verify")
    for wrong in (first, "osm_", second[:-1] + ("A" if second[-1] != "A" else "B")):
        refused = await post(http, "email/verify", token=wrong)
        assert code_of(refused) == (400, "invalid_verification_token")
    for wrong in (first, second):
        other_purpose = await post(http, "password/reset", token=wrong, password=NEW)
        assert code_of(other_purpose) == (400, "invalid_reset_token")
    answers = await asyncio.gather(*(post(http, "email/verify", token=second) for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 49
    assert (await ann.me()).json()["user"]["emailVerified"] is True
    assert code_of(await post(http, "email/verify/request", ann)) == (400, "already_verified")
    assert (await bob.me()).json()["user"]["emailVerified"] is False
    assert (await post(http, "email/verify", token=others)).json()["user"]["id"] == (
        bob.user_id.hex()
    )


async def test_a_change_of_the_address_and_back(
    http: httpx.AsyncClient, mails: Mails, person: Person
) -> None:
    """All sessions end but the one that asked; the old address undoes it, the password is void."""
    old, new = person.email, f"new.{person.email}"
    elsewhere = await person.log_in()
    bad = await post(http, "email/change", person, email="no address")
    assert code_of(bad) == (400, "bad_request")
    asked = await post(http, "email/change", person, email=new)
    assert (asked.status_code, asked.json()) == (202, {"expiresIn": 86_400})
    token = await mails.token(new, "change")
    await until(lambda: mails.of(old, "email_change_requested"))
    assert "osm_" not in text(mails.of(old, "email_change_requested")[0])
    confirmed = await post(http, "email/change/confirm", token=token)
    assert (
        confirmed.json()["user"] | {"email": new, "emailVerified": True}
        == (confirmed.json()["user"])
    )
    assert (await post(http, "email/change/confirm", token=token)).status_code == 400
    assert (await person.me()).json()["user"]["email"] == new
    assert (await elsewhere.me()).status_code == 401
    taken = await http.post("/auth/signup", json={"email": old, "password": PASSWORD})
    assert code_of(taken) == (409, "email_taken"), "kept for whom it was"
    undo = await mails.token(old, "email_changed")
    answers = await asyncio.gather(
        *(post(http, "email/change/undo", token=undo) for _ in range(10))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 9
    assert (await person.me()).status_code == 401
    for email in (old, new):
        login = await http.post("/auth/login", json={"email": email, "password": PASSWORD})
        assert code_of(login) == (401, "invalid_credentials")
    await ask(http, old)
    token = await mails.token(old, "reset")
    assert (await post(http, "password/reset", token=token, password=NEW)).status_code == 204
    login = await http.post("/auth/login", json={"email": old, "password": NEW})
    assert login.json()["user"]["email"] == old


async def test_a_change_that_could_not_be_undone(
    http: httpx.AsyncClient, mails: Mails, person: Person, keys: RedisServer
) -> None:
    """With a full outbox the old address would not hear of it: nothing changes, no session ends."""
    await post(http, "email/change", person, email=f"f.{person.email}")
    token = await mails.token(f"f.{person.email}", "change")
    await until(lambda: mails.of(person.email, "email_change_requested"))
    box = bucket(person.user_id).mail
    with keys.client() as client:
        with client.pipeline() as pipeline:
            for _ in range(1000):  # SERVICE_MAIL_MOST, of one bucket
                pipeline.xadd(box, {"user": person.user_id.hex(), "id": "-", "sealed": "-"})
            pipeline.execute()
        refused = await post(http, "email/change/confirm", token=token)
        client.xtrim(box, 0, approximate=False)
    assert code_of(refused) == (503, "service_unavailable")
    assert (await person.me()).json()["user"]["email"] == person.email
    assert (await person.refresh()).status_code == 200
    assert mails.of(person.email, "email_changed") == []


async def test_undoing_an_earlier_change_voids_the_later(
    http: httpx.AsyncClient, mails: Mails, person: Person
) -> None:
    """A thief who moves on from address to address gains nothing; nor by a reset between."""
    first, second, third = person.email, f"b.{person.email}", f"c.{person.email}"
    for old, new in ((first, second), (second, third)):
        assert (await post(http, "email/change", person, email=new)).status_code == 202
        token = await mails.token(new, "change")
        assert (await post(http, "email/change/confirm", token=token)).status_code == 200
        await mails.token(old, "email_changed")
    await post(http, "email/change", person, email=f"d.{first}")
    pending = await mails.token(f"d.{first}", "change")
    await ask(http, third)
    reset = await mails.token(third, "reset")
    assert (await post(http, "password/reset", token=reset, password=NEW)).status_code == 204
    undo, later = (
        await mails.token(first, "email_changed"),
        await mails.token(second, "email_changed"),
    )
    undone = await post(http, "email/change/undo", token=undo)
    assert (undone.status_code, undone.json()["user"]["email"]) == (200, first)
    for path, token in (("email/change/undo", later), ("email/change/confirm", pending)):
        assert code_of(await post(http, path, token=token)) == (400, "invalid_verification_token")


async def test_an_address_that_is_taken(http: httpx.AsyncClient, mails: Mails) -> None:
    """Only who reads its mails is told; the link is not spent by that."""
    ann, bob = await sign_up(http), await sign_up(http)
    asked = await post(http, "email/change", ann, email=bob.email)
    assert asked.status_code == 202
    token = await mails.token(bob.email, "change")
    for _ in range(2):
        refused = await post(http, "email/change/confirm", token=token)
        assert code_of(refused) == (409, "email_taken")
    assert (await ann.me()).json()["user"]["email"] == ann.email


async def test_a_link_to_an_address_of_before(
    http: httpx.AsyncClient, mails: Mails, person: Person
) -> None:
    """It neither sets a password nor verifies the address that counts now."""
    await ask(http, person.email)
    reset = await mails.token(person.email, "reset")
    verify = await mails.token(person.email, "verify")
    await post(http, "email/change", person, email=f"e.{person.email}")
    token = await mails.token(f"e.{person.email}", "change")
    assert (await post(http, "email/change/confirm", token=token)).status_code == 200
    refused = await post(http, "password/reset", token=reset, password=NEW)
    assert code_of(refused) == (400, "invalid_reset_token")
    refused = await post(http, "email/verify", token=verify)
    assert code_of(refused) == (400, "invalid_verification_token")


async def test_notices(http: httpx.AsyncClient, mails: Mails) -> None:
    """Each change tells the owner when, from where and with what; of words of ours alone."""
    person = await (await new_holder(http)).enrol()
    holder = person
    await until(lambda: mails.of(person.email, "second_factor_on"))
    evil = "Mozilla/5.0 (Windows NT 10.0) Firefox/133.0 call-555-evil"
    away = {"User-Agent": evil, "X-Forwarded-For": "203.0.113.9"}
    del away["X-Forwarded-For"]  # nobody's word is believed here, so the network is the same
    body = {"email": person.email, "password": PASSWORD}
    challenge = (await http.post("/auth/login", json=body, headers=away)).json()["challengeId"]
    used = await http.post(
        "/auth/login/2fa",
        json={"challengeId": challenge, "code": holder.recovery_codes[0]},
        headers=away,
    )
    assert used.status_code == 200
    await until(lambda: mails.of(person.email, "recovery_code_used"))
    notice = text(mails.of(person.email, "recovery_code_used")[0])
    assert "You have 9 left" in notice
    assert "From: 127.0.0.1" in notice
    assert "With: Firefox, Windows" in notice
    assert "evil" not in notice
    assert re.search(r"When: \d{4}-\d\d-\d\d \d\d:\d\d UTC", notice)
    assert "/account" in notice
    off = await post(http, "2fa/disable", person, code=holder.recovery_codes[1])
    assert off.status_code == 204
    await until(lambda: mails.of(person.email, "second_factor_off"))
    proved = await person.log_in()
    assert (await post(http, "account/delete", proved)).status_code == 204
    await until(lambda: mails.of(person.email, "account_deleted"))
    assert mails.of(person.email, "sign_in") == [], "from a network that is known"


async def test_required(demanding: ServiceProcess, keys: RedisServer) -> None:
    """One answer to every sign-up; nobody logs in before, and the newest link counts."""
    mails = Mails(demanding.directory / "mail")
    async with httpx.AsyncClient(base_url=demanding.url, timeout=30) as http:

        async def signs_up(password: str) -> None:
            answer = await http.post(
                "/auth/signup", json={"email": "ann@example.com", "password": password}
            )
            assert (answer.status_code, answer.json()) == (202, {"verificationRequired": True})

        async def logs_in(password: str) -> tuple[int, str]:
            answer = await http.post(
                "/auth/login", json={"email": "ann@example.com", "password": password}
            )
            return (200, "") if answer.status_code == 200 else code_of(answer)

        await signs_up(PASSWORD)
        first = await mails.token("ann@example.com", "verify")
        assert await logs_in(PASSWORD) == (403, "email_not_verified")
        assert await logs_in("something else entirely") == (401, "invalid_credentials")
        await signs_up(NEW)
        second = await mails.token("ann@example.com", "verify", 2)
        assert await logs_in(PASSWORD) == (401, "invalid_credentials")
        assert await logs_in(NEW) == (403, "email_not_verified")
        await signs_up("a third good password")
        third = await mails.token("ann@example.com", "verify", 3)
        await signs_up("a fourth, which is one too many")
        assert await logs_in("a fourth, which is one too many") == (401, "invalid_credentials")
        for old in (first, second):
            refused = await post(http, "email/verify", token=old)
            assert code_of(refused) == (400, "invalid_verification_token")
        verified = await post(http, "email/verify", token=third)
        assert verified.json()["user"]["emailVerified"] is True
        assert await logs_in("a third good password") == (200, "")
        await signs_up(PASSWORD)
        await until(lambda: mails.of("ann@example.com", "account_exists"))
        assert await logs_in("a third good password") == (200, "")
        assert await logs_in(PASSWORD) == (401, "invalid_credentials")
        weak = await http.post("/auth/signup", json={"email": "b@example.com", "password": "x"})
        assert code_of(weak) == (400, "weak_password")
        await http.post("/auth/signup", json={"email": "b@example.com", "password": PASSWORD})
        await ask(http, "b@example.com")
        reset = await mails.token("b@example.com", "reset")
        assert (await post(http, "password/reset", token=reset, password=NEW)).status_code == 204
        answer = await http.post("/auth/login", json={"email": "b@example.com", "password": NEW})
        assert answer.status_code == 200, "a reset verifies"


async def test_an_operator_mails_a_link(
    http: httpx.AsyncClient, mails: Mails, person: Person, mailing: ServiceProcess
) -> None:
    """The command prints none where mail is on; no GET consumes one."""
    said = await asyncio.to_thread(
        mailing.command, "users", "reset-password", person.email, "--reason", "asked"
    )
    assert "was mailed to" in said
    assert "osm_" not in said
    token = await mails.token(person.email, "reset")  # swept up: the command has told nobody
    for path in ("/account", "/auth/password/reset", f"/auth/password/reset?token={token}"):
        await http.get(path)
    assert (await post(http, "password/reset", token=token, password=NEW)).status_code == 204


async def test_without_mail(service: ServiceProcess) -> None:
    """What would send is not there, before anything else is said; the rest is."""
    async with httpx.AsyncClient(base_url=service.url) as http:
        for path in ("password/reset/request", "email/verify/request", "email/change"):
            assert code_of(await post(http, path)) == (404, "not_found")
        for path in ("email/verify", "email/change/confirm", "email/change/undo"):
            refused = await post(http, path, token="osm_x")
            assert code_of(refused) == (400, "invalid_verification_token")


async def test_readiness_and_metrics(http: httpx.AsyncClient, mails: Mails, person: Person) -> None:
    """A line of its own, and what became of mails; neither makes a pod unready."""
    await mails.token(person.email, "verify")

    async def told() -> bool:
        return (await http.get("/health/ready")).json()["mail"]["ok"] is True

    await eventually(told)
    metrics = (await http.get("/metrics")).text
    assert 'openshow_mails_total{kind="verify",outcome="queued"}' in metrics
    assert re.search(r"^openshow_mails_waiting [0-9.]+$", metrics, re.M)
    assert bucket(bytes(16)).mail == b"mail:{00}"
