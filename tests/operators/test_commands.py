"""The commands of operators: what they print, what they change, and how they end."""

import re
from pathlib import Path

import msgspec
import pytest
from tools.testbed.access import SERVICE
from tools.testbed.parts import CLIENT
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PATIENT
from tools.testbed.waiting import eventually

from service.errors import (
    AccountDisabled,
    InvalidAccessToken,
    InvalidCredentials,
    StoreUnavailable,
)
from tests.operators.commands import Outcome, command
from tests.support.looking import events
from tests.support.user_stores import UserStore
from tests.twofactor.pods import Pods, Somebody

WHY = ("--reason", "a call from the person")
DONE = (*WHY, "--yes")
CHANGES = ("disable", "enable", "unlock", "logout", "reset-2fa", "reset-password", "delete")
DESTROYING = ("disable", "logout", "reset-2fa", "delete")
READING = ("find", "show", "export")


@pytest.fixture(autouse=True)
def environment(
    keys: RedisServer, user_store: UserStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> pytest.MonkeyPatch:
    """The settings of the pods; Redis lets the commands do what it lets the service do."""
    for name, value in {
        "SERVICE_REDIS_URL": keys.url_of(SERVICE).reveal(),
        "SERVICE_DATABASE_URL": user_store.url,
        "SERVICE_DATA_DIR": str(tmp_path),
        "SERVICE_ISSUER": "https://auth.example/",
        **PATIENT,
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.fixture
async def ann(pods: Pods) -> Somebody:
    """Somebody with a second factor and one session."""
    return await pods.enrolled()


def told(keys: RedisServer, somebody: Somebody) -> list[str]:
    """The types of events that operators have caused."""
    rows = [row for row in events(keys, somebody.id) if row.get("by") == "cli"]
    assert all(row["reason"] == "a call from the person" for row in rows)
    assert all(len(row["request"]) == 32 for row in rows)
    return [row["type"] for row in rows]


def one_line(outcome: Outcome, code: int = 1) -> str:
    """What a command that failed says: one line on stderr, and nothing else."""
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (code, "", 1), outcome
    assert outcome.err.startswith("openshow-auth: ")
    return outcome.err


async def test_find_and_show(ann: Somebody) -> None:
    """By id and by address, as lines and as JSON; the sessions and limits besides."""
    for named in (ann.id.hex(), ann.user.email, ann.user.email.upper()):
        found = await command("users", "find", named)
        assert (found.code, found.err) == (0, "")
        assert found.out.startswith(f"{ann.id.hex()}  {ann.user.email}  enabled, 2FA on")
        document = (await command("users", "find", named, "--json")).document
        assert document["next"] is None
        [shown] = document["users"]
        assert (shown["id"], shown["email"]) == (ann.id.hex(), ann.user.email)
    document = (await command("users", "show", ann.user.email, "--json")).document
    assert document["twoFA"] == {"enabled": True, "recoveryCodesLeft": 10}
    assert document["disabledAt"] is document["passwordChangedAt"] is None
    assert document["limits"] == []
    [session] = document["sessions"]
    assert session["id"] == ann.caller.session_id.hex()
    assert session["ipAddress"] == "192.0.2.7"
    shown = await command("users", "show", ann.user.email)
    assert (shown.code, shown.err) == (0, "")
    for text in (ann.id.hex(), "10 recovery codes left", session["id"], "192.0.2.7", "a browser"):
        assert text in shown.out


async def test_limits_are_shown_and_forgiven(pods: Pods, ann: Somebody) -> None:
    """Those that were reached, as settings name them."""
    for _ in range(10):
        with pytest.raises(InvalidCredentials):
            await pods.all[0].services.accounts.log_in(ann.user.email, "not it", CLIENT)
    document = (await command("users", "show", ann.user.email, "--json")).document
    [limit] = document["limits"]
    assert limit["limit"] == "account_network"
    assert 0 < limit["retryAfter"] <= 900
    assert "account_network for" in (await command("users", "show", ann.user.email)).out
    assert (await command("users", "unlock", ann.user.email, *WHY)).code == 0
    assert "none reached" in (await command("users", "show", ann.user.email)).out


async def test_limits_without_the_keys(
    ann: Somebody, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """All else is shown where the key service does not open them, as when that is looked into."""
    (tmp_path / "local.keys").rename(tmp_path / "away")
    environment.setenv("SERVICE_KMS_LOCAL_KEY_FILE", str(tmp_path / "local.keys"))
    shown = await command("users", "show", ann.user.email, "--json")
    assert (shown.code, shown.document["limits"]) == (0, None)
    assert "the limits are not known" in shown.err
    for verb in ("unlock", "reset-password"):
        one_line(await command("users", verb, ann.user.email, *WHY))
    assert (await command("users", "disable", ann.user.email, *DONE)).code == 0


@pytest.mark.parametrize("verb", DESTROYING)
async def test_dry_runs(pods: Pods, ann: Somebody, keys: RedisServer, verb: str) -> None:
    """What destroys changes nothing without --yes, and says what it would do, and to whom."""
    before = pods.store.ask("SELECT * FROM users WHERE id = $1", ann.id)
    dry = await command("users", verb, ann.user.email, *WHY)
    assert (dry.code, dry.err) == (0, "")
    assert dry.out.startswith("Nothing was changed; with --yes, ")
    assert ann.user.email in dry.out
    assert "1 session" in dry.out
    document = (await command("users", verb, ann.user.email, *WHY, "--json")).document
    assert document["dryRun"] is True
    assert (document["user"], document["sessions"]) == (ann.id.hex(), 1)
    assert pods.store.ask("SELECT * FROM users WHERE id = $1", ann.id) == before
    for pod in pods:
        assert await pod.shows(ann) == (True, 10)
    assert told(keys, ann) == []


async def test_each_change_twice(pods: Pods, ann: Somebody, keys: RedisServer) -> None:
    """The second time each succeeds, says that it was so, and writes no event."""
    expected: list[str] = []
    for verb, event in (
        ("logout", "user.sessionsEnded"),
        ("disable", "user.disabled"),
        ("enable", "user.enabled"),
        ("reset-2fa", "twoFA.disabled"),
    ):
        for changed in (True, False):
            done = await command("users", verb, ann.user.email, *DONE, "--json")
            assert (done.code, done.err, done.document["user"]) == (0, "", ann.id.hex())
            if verb == "logout":
                assert done.document["revoked"] == int(changed)
            else:
                assert done.document["changed"] is changed, verb
        expected.append(event)
        assert told(keys, ann) == expected
    for _ in range(2):
        assert (await command("users", "unlock", ann.user.email, *DONE)).code == 0
    assert told(keys, ann) == expected


async def test_what_it_does(pods: Pods, ann: Somebody) -> None:
    """Pods that run beside it know at once."""
    here, there = pods
    assert (await command("users", "disable", ann.user.email, *DONE)).out.count("disabled") == 1
    for pod in pods:
        with pytest.raises(InvalidAccessToken):
            await pod.shows(ann)
        with pytest.raises(AccountDisabled):
            await pod.password(ann)
    assert (await command("users", "enable", ann.id.hex(), *WHY)).code == 0
    assert (await command("users", "reset-2fa", ann.id.hex(), *DONE)).code == 0
    opened = await there.password(ann)
    assert opened.user.two_fa_enabled is False
    assert (await command("users", "logout", ann.id.hex(), *DONE)).code == 0
    with pytest.raises(InvalidAccessToken):
        await here.services.identities.of(
            here.services.access_tokens.verify(opened.tokens.access_token)
        )


async def test_delete_twice(ann: Somebody, keys: RedisServer, pods: Pods) -> None:
    """The second time there is no such account, by address and by id."""
    done = await command("users", "delete", ann.user.email, *DONE, "--json")
    assert (done.code, done.document) == (0, {"user": ann.id.hex(), "changed": True})
    for named in (ann.user.email, ann.id.hex()):
        assert "no such account" in one_line(await command("users", "delete", named, *DONE))
    assert told(keys, ann) == ["user.deleted"]
    assert pods.store.ask("SELECT count(*) FROM users") == [(0,)]


@pytest.mark.parametrize("named", ["nobody@example.com", "0" * 32, "nobody", "", "\ud800", "\0"])
async def test_nobody(named: str, keys: RedisServer) -> None:
    """Whoever is not there is 1 and one line for each command, and nothing is left of asking."""
    for verb in READING:
        assert "no such account" in one_line(await command("users", verb, named))
    for verb in CHANGES:
        assert "no such account" in one_line(await command("users", verb, named, *DONE))
    assert "no such account" in one_line(await command("sessions", "list", named))
    end = ("sessions", "end", "0" * 24, "--user", named, *DONE)
    assert "no such account" in one_line(await command(*end))
    with keys.client() as client:
        assert client.dbsize() == 0


async def test_sessions(pods: Pods, ann: Somebody, keys: RedisServer) -> None:
    """They are listed, newest first, and one is ended; again, it has ended already."""
    here, there = pods
    assert (await command("users", "reset-2fa", ann.user.email, *DONE)).code == 0
    opened = [(await pod.password(ann)).tokens for pod in (here, there)]
    ids = [tokens.session_id.hex() for tokens in opened]
    document = (await command("sessions", "list", ann.user.email, "--json")).document
    assert sorted(session["id"] for session in document["sessions"]) == sorted(ids)
    created = [session["createdAt"] for session in document["sessions"]]
    assert created == sorted(created, reverse=True)
    listed = await command("sessions", "list", "--user", ann.id.hex())
    assert all(session_id in listed.out for session_id in ids)
    end = ("sessions", "end", ids[0], "--user", ann.user.email)
    dry = await command(*end, *WHY)
    assert (dry.code, dry.out.startswith("Nothing was changed")) == (0, True)
    for changed in (True, False):
        ended = await command(*end, *DONE, "--json")
        assert (ended.code, ended.document["changed"]) == (0, changed)
        document = (await command("sessions", "list", ann.user.email, "--json")).document
        assert [session["id"] for session in document["sessions"]] == ids[1:]
    assert told(keys, ann) == ["twoFA.disabled", "session.revoked"]
    [event] = [row for row in events(keys, ann.id) if row["type"] == "session.revoked"]
    assert event["session"] == ids[0]
    for malformed in ("x", ids[1][:-1], ids[1] + "0", " " * 24):
        end = ("sessions", "end", malformed, "--user", ann.user.email)
        assert "no id of a session" in one_line(await command(*end, *DONE))
    with pytest.raises(InvalidAccessToken):
        await here.services.identities.of(
            here.services.access_tokens.verify(opened[0].access_token)
        )
    await here.services.identities.of(here.services.access_tokens.verify(opened[1].access_token))


async def test_a_session_of_somebody_else(pods: Pods, ann: Somebody) -> None:
    """It is none of the account that was named, and stays."""
    bob = await pods.sign_up()
    end = ("sessions", "end", bob.caller.session_id.hex(), "--user", ann.user.email)
    ended = await command(*end, *DONE, "--json")
    assert (ended.code, ended.document["changed"]) == (0, False)
    for pod in pods:
        await pod.shows(bob)


async def test_export(ann: Somebody, keys: RedisServer) -> None:
    """All that is kept, its own event last, and no secret."""
    exported = await command("users", "export", ann.user.email, *WHY)
    assert (exported.code, exported.err) == (0, "")
    document = exported.document
    assert document["account"]["email"] == ann.user.email
    assert [factor["type"] for factor in document["factors"]] == ["totp", "recovery_code"]
    assert [session["id"] for session in document["sessions"]] == [ann.caller.session_id.hex()]
    types = [event["type"] for event in document["events"]]
    assert types == ["user.signedUp", "twoFA.enrollmentStarted", "twoFA.enabled", "user.exported"]
    assert document["events"][-1]["by"] == "cli"
    secrets = ("$2b$", "osr_", "password_hash", *ann.recovery_codes, ann.phone.totp.secret)
    assert not [secret for secret in secrets if secret in exported.out]


async def test_reset_password(ann: Somebody, keys: RedisServer) -> None:
    """A link of the issuer's with a token; each run makes the one before void."""
    links = set()
    for _ in range(2):
        issued = await command("users", "reset-password", ann.user.email, *WHY)
        assert (issued.code, issued.err) == (0, "")
        link = issued.out.splitlines()[0]
        assert re.fullmatch(r"https://auth\.example/account#reset=osm_[\w-]{100}", link)
        links.add(link)
    document = (await command("users", "reset-password", ann.user.email, *WHY, "--json")).document
    assert document["link"].startswith("https://auth.example/account#reset=osm_")
    assert len(links) == 2
    assert told(keys, ann) == ["user.resetRequested"] * 3
    with keys.client() as client:
        assert len([*client.scan_iter(match="ticket:*")]) == 1


@pytest.mark.parametrize("verb", CHANGES)
async def test_a_reason_is_asked_for(ann: Somebody, keys: RedisServer, verb: str) -> None:
    """Without one, or with one that says nothing, it is wrong usage, and nothing happens."""
    for given in (
        (),
        ("--reason",),
        ("--reason", " "),
        ("--reason", "a\nb"),
        ("--reason", "a\u2028b"),
        ("--reason", "x" * 501),
    ):
        refused = await command("users", verb, ann.user.email, *given, "--yes")
        assert (refused.code, refused.out) == (2, "")
    assert told(keys, ann) == []


async def test_what_clients_have_sent_steers_no_terminal(pods: Pods, ann: Somebody) -> None:
    """Control characters of a user agent are printed as `?`, and in JSON escaped."""
    here, _ = pods
    assert (await command("users", "reset-2fa", ann.user.email, *DONE)).code == 0
    origin = msgspec.structs.replace(CLIENT, user_agent="\x1b[2J\x9b31m\u202e evil")
    await here.services.accounts.log_in(ann.user.email, "correct horse battery", origin)
    for printed in (
        await command("sessions", "list", ann.user.email),
        await command("users", "show", ann.user.email),
        await command("users", "show", ann.user.email, "--json"),
        await command("users", "export", ann.user.email),
    ):
        assert " evil" in printed.out
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", printed.out)


async def test_redis_away(
    pods: Pods, ann: Somebody, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One line says so, and nothing is half done; what asks the user store alone works."""
    before = pods.store.ask("SELECT * FROM users WHERE id = $1", ann.id)
    with environment.context() as away:
        away.setenv("SERVICE_REDIS_URL", f"unix://{tmp_path}/nowhere.sock")
        assert (await command("users", "find", ann.user.email)).code == 0
        named = ("sessions", "end", ann.caller.session_id.hex(), "--user", ann.user.email)
        for arguments in (
            ("users", "show", ann.user.email),
            ("users", "export", ann.user.email),
            ("sessions", "list", ann.user.email),
            *(("users", verb, ann.user.email, *DONE) for verb in CHANGES),
            (*named, *DONE),
            ("cutoff", *DONE),
        ):
            assert "Redis cannot be reached" in one_line(await command(*arguments)), arguments
        away.setenv("SERVICE_REDIS_URL", "")
        assert "runs with the service" in one_line(await command("users", "show", ann.user.email))
    assert pods.store.ask("SELECT * FROM users WHERE id = $1", ann.id) == before
    for pod in pods:
        assert await pod.shows(ann) == (True, 10)


async def test_redis_gone_back(pods: Pods, ann: Somebody, keys: RedisServer) -> None:
    """What a command ends, the fence hears of; and none takes the number of an end that is lost."""
    assert (await command("users", "logout", ann.user.email, *DONE)).code == 0
    assert pods.store.ask("SELECT number FROM fences") == [(1,)]
    with keys.client() as client:
        client.flushall()
        for verb in ("disable", "logout"):
            said = one_line(await command("users", verb, ann.user.email, *DONE))
            assert "gone back in time" in said
        # What somebody wrote down by then counts as used; nothing else was written.
        assert {key for key in client.scan_iter() if not key.endswith(b":floor")} == set()


async def test_the_user_store_away(pods: Pods, ann: Somebody, keys: RedisServer) -> None:
    """One line says so, and no session has ended."""
    with keys.client() as client:
        before = client.dbsize()
    with pods.store.out_of_reach():
        for verb in (*READING, *CHANGES):
            given = DONE if verb in CHANGES else ()
            said = one_line(await command("users", verb, ann.user.email, *given))
            assert "user store" in said or "service.db is not set up" in said  # a file that is gone
    with keys.client() as client:
        assert client.dbsize() == before
    await eventually(lambda: lives(pods, ann))


async def lives(pods: Pods, somebody: Somebody) -> bool:
    """Whether the session goes on, at each pod; they may still be without the user store."""
    try:
        return [await pod.shows(somebody) for pod in pods] == [(True, 10)] * 2
    except StoreUnavailable:
        return False


async def test_everybody(pods: Pods, ann: Somebody, keys: RedisServer) -> None:
    """With --yes all sessions end, of whatever account; logins after it go on."""
    here, there = pods
    bob = await pods.sign_up()
    dry = await command("cutoff", *WHY)
    assert (dry.code, dry.out.startswith("Nothing was changed")) == (0, True)
    for pod in pods:
        await pod.shows(ann)
        await pod.shows(bob)
    for _ in range(2):
        assert (await command("cutoff", *DONE)).code == 0
    for pod in pods:
        for somebody in (ann, bob):
            with pytest.raises(InvalidAccessToken):
                await pod.shows(somebody)
    opened = await there.password(bob)
    caller = here.services.access_tokens.verify(opened.tokens.access_token)
    await here.services.identities.of(caller)
    with keys.client() as client:
        told = [
            entry[b"reason"]
            for stream in client.scan_iter(match="events:*")
            for _, entry in client.xrange(stream)
            if entry[b"type"] == b"sessions.cutOff"
        ]
    assert told == [b"a call from the person"] * 128


async def test_everybody_with_old_guards(ann: Somebody, environment: pytest.MonkeyPatch) -> None:
    """Where guards of before run it is refused, with a line that names the setting."""
    environment.setenv("SERVICE_FEED_KINDS", "1")
    refused = await command("cutoff", *DONE)
    assert (refused.code, "SERVICE_FEED_KINDS" in refused.err) == (2, True)
    assert (await command("users", "logout", ann.user.email, *DONE)).code == 0
