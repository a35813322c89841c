"""Identities that are linked from within an account, and taken away again."""

import asyncio

import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import code_of, sign_up

from tests.support.looking import ON_VALKEY, events
from tests.support.proofs import let_time_pass
from tests.support.provider import new_subject
from tests.support.provider_app import App, new_email, person

pytestmark = ON_VALKEY


async def linked(app: App, bearer: dict[str, str]) -> list[str]:
    answer = await app.http.get("/auth/oauth/links", headers=bearer)
    assert answer.status_code == 200
    return [link["provider"] for link in answer.json()["links"]]


async def unlink(app: App, bearer: dict[str, str]) -> tuple[int, str]:
    return code_of(await app.http.delete(f"/auth/oauth/{app.name}/link", headers=bearer))


async def test_link_log_in_and_unlink(app: App, keys: RedisServer) -> None:
    """200 with the account and no tokens; then it logs in, until it is unlinked."""
    ann, subject = await sign_up(app.http), new_subject()
    answer = await app.log_in(subject, new_email(), bearer=ann.bearer)
    assert answer.status_code == 200
    assert set(answer.json()) == {"user"}
    assert await linked(app, ann.bearer) == ["one"]
    other = person(app, await app.log_in(subject))
    assert other.user_id == ann.user_id
    assert await unlink(app, ann.bearer) == (204, "")
    assert await unlink(app, ann.bearer) == (404, "not_linked")
    assert code_of(await app.log_in(subject)) == (400, "email_required")
    assert (await other.me()).status_code == 200  # sessions go on
    kinds = [event["type"] for event in events(keys, ann.user_id)]
    assert [kind for kind in kinds if kind.startswith("identity.")] == [
        "identity.linked",
        "identity.unlinked",
    ]


async def test_no_address_links_anything(app: App) -> None:
    """One that is claimed and is another account's stays that account's."""
    ann, bob = await sign_up(app.http), await sign_up(app.http)
    answer = await app.log_in("", bob.email, bearer=ann.bearer)
    assert answer.json()["user"]["email"] == ann.email
    assert (await bob.me()).status_code == 200


async def test_already_linked(app: App) -> None:
    """An identity has one account, and an account one of a provider: at start and at complete."""
    ann, bob, subject = await sign_up(app.http), await sign_up(app.http), new_subject()
    begun = await app.grant(bearer=ann.bearer)
    of_bob = await app.grant(subject, bearer=bob.bearer)
    assert (await app.log_in(subject, bearer=ann.bearer)).status_code == 200
    assert code_of(await app.ask_start(ann.bearer)) == (409, "already_linked")
    assert code_of(await app.complete(*begun)) == (409, "already_linked")
    assert code_of(await app.complete(*of_bob)) == (409, "already_linked")
    assert await linked(app, bob.bearer) == []


async def test_racing_links(app: App) -> None:
    """Of one identity to ten accounts: one of them has it."""
    subject, people = new_subject(), [await sign_up(app.http) for _ in range(5)]
    grants = [await app.grant(subject, bearer=each.bearer) for each in people]
    answers = await asyncio.gather(*(app.complete(*grant) for grant in grants))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    owners = [each for each in people if await linked(app, each.bearer)]
    assert len(owners) == 1


async def test_only_while_the_session_lives_that_began_it(app: App) -> None:
    """A grant for a link is none once that has ended, and logs nobody in either."""
    ann, subject = await sign_up(app.http), new_subject()
    other = await ann.log_in()
    grant = await app.grant(subject, bearer=ann.bearer)
    assert (await ann.log_out()).status_code == 204
    assert code_of(await app.complete(*grant)) == (400, "invalid_grant")
    assert await linked(app, other.bearer) == []


async def test_recent_is_asked_for(app: App, keys: RedisServer) -> None:
    """401 with the challenge of RFC 9470; for who has no password a new login there is recent."""
    subject = new_subject()
    ann = person(app, await app.log_in(subject, new_email()))
    let_time_pass(keys, ann, 700)
    for answer in (
        await app.at("two").ask_start(ann.bearer),
        await app.http.delete("/auth/oauth/one/link", headers=ann.bearer),
    ):
        assert code_of(answer) == (401, "insufficient_user_authentication")
    again = person(app, await app.log_in(subject))
    assert (await app.at("two").ask_start(again.bearer)).status_code == 200


async def test_the_last_way_in_stays(app: App) -> None:
    """409 for who has no password, until there is another identity; racing, one of two stays."""
    ann = person(app, await app.log_in("", new_email()))
    assert await unlink(app, ann.bearer) == (409, "last_login_method")
    assert (await app.at("two").log_in(bearer=ann.bearer)).status_code == 200
    outcomes = await asyncio.gather(unlink(app, ann.bearer), unlink(app.at("two"), ann.bearer))
    assert sorted(outcomes) == [(204, ""), (409, "last_login_method")]
    assert len(await linked(app, ann.bearer)) == 1


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_a_provider_that_is_none(app: App, method: str) -> None:
    """404, to who is somebody."""
    ann, body = await sign_up(app.http), {"redirectUri": "x", "codeChallenge": "x"}
    path = "/auth/oauth/three/link"
    answer = await app.http.request(method, path, headers=ann.bearer, json=body)
    assert code_of(answer) == (404, "not_found")
    assert (await app.http.request(method, path, json=body)).status_code == 401


async def test_deleting_the_account_frees_the_identity(app: App) -> None:
    """It is nobody's then, and makes a new account."""
    subject, email = new_subject(), new_email()
    ann = person(app, await app.log_in(subject, email))
    deleted = await app.http.post("/auth/account/delete", headers=ann.bearer)
    assert deleted.status_code == 204
    assert (await app.log_in(subject, email)).status_code == 201
