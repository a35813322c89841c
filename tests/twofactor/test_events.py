"""The audit events of the second factor: each when docs/events.md says, and at no other time."""

import ipaddress
import re
from pathlib import Path

import httpx
from tools.testbed.redis_server import REPOSITORY, RedisServer
from tools.testbed.service_process import code_of

import service.twofactor
from tests.support.looking import events
from tests.support.two_factor import Holder, let_steps_pass

COMMON = ("id", "user", "ip", "request")


def told(server: RedisServer, holder: Holder) -> list[dict[str, str]]:
    """Those of the second factor, without what all of them have."""
    rows = [row for row in events(server, holder.user_id) if row["type"].startswith("twoFA.")]
    for row in rows:
        assert ipaddress.ip_address(row["ip"]).is_loopback
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", row["request"])
        assert set(COMMON) < set(row)
    return [{k: v for k, v in row.items() if k not in COMMON} for row in rows]


async def test_a_whole_story(ann: Holder, keys: RedisServer, http: httpx.AsyncClient) -> None:
    """Each step is one event, in order, and so is each wrong code, with its door."""
    await ann.begin()
    await ann.begin()
    await ann.verify(ann.phone.wrong())
    await ann.verify(None, "0" * 32)
    answer = await ann.verify()
    ann.recovery_codes = answer.json()["recoveryCodes"]
    await ann.verify()
    await ann.enable()
    await ann.disable(ann.phone.wrong())
    challenge = await ann.challenge()
    await ann.answer(challenge, ann.phone.wrong())
    await ann.answer(challenge, "x")
    await ann.answer("unknown", "x")
    await ann.answer(challenge, ann.recovery_codes[0])
    await ann.answer(await ann.challenge(), ann.phone.code(1))
    let_steps_pass(keys)
    await ann.renew(ann.phone.wrong())
    codes = (await ann.renew(ann.phone.code())).json()["recoveryCodes"]
    await ann.disable(codes[0])
    await ann.disable(codes[0])
    assert told(keys, ann) == [
        {"type": "twoFA.enrollmentStarted"},
        {"type": "twoFA.enrollmentStarted"},
        {"type": "twoFA.codeFailed", "door": "2fa.verify"},
        {"type": "twoFA.enabled"},
        {"type": "twoFA.codeFailed", "door": "2fa.disable"},
        {"type": "twoFA.challengeFailed", "tries": "1"},
        {"type": "twoFA.challengeFailed", "tries": "2"},
        {"type": "twoFA.recoveryCodeUsed"},
        {"type": "twoFA.codeFailed", "door": "2fa.recoveryCodes"},
        {"type": "twoFA.recoveryCodesRenewed"},
        {"type": "twoFA.recoveryCodeUsed"},
        {"type": "twoFA.disabled"},
    ]
    opened = [row for row in events(keys, ann.user_id) if row["type"] == "user.loggedIn"]
    assert len(opened) == 2
    shown = str(events(keys, ann.user_id))
    for secret in (*codes, *ann.recovery_codes, challenge, ann.phone.totp.secret, ann.email):
        assert secret not in shown


async def test_disabling_by_totp_and_five_failures(bob: Holder, keys: RedisServer) -> None:
    """The fifth failure is one more event, the sixth none: the challenge is gone."""
    challenge = await bob.challenge()
    for _ in range(6):
        await bob.answer(challenge, bob.phone.wrong())
    assert code_of(await bob.answer(challenge, bob.phone.code(1)))[1] == "challenge_not_found"
    assert (await bob.disable(bob.phone.code(1))).status_code == 204
    assert told(keys, bob)[2:] == [
        *({"type": "twoFA.challengeFailed", "tries": str(tries)} for tries in range(1, 6)),
        {"type": "twoFA.disabled"},
    ]


def test_the_page_lists_what_is_written() -> None:
    """Each event that this package emits has a row in docs/events.md, and no other."""
    package = Path(str(service.twofactor.__file__)).parent
    refusals = package.parent / "events" / "security_log.py"
    sources = "".join(
        path.read_text(encoding="utf-8")
        for path in (*package.iterdir(), refusals)
        if path.is_file()
    )
    page = (REPOSITORY / "docs" / "events.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(twoFA\.[A-Za-z]+)`", page, re.MULTILINE))
    assert set(re.findall(r"[\"'](twoFA\.[A-Za-z]+)[\"']", sources)) == listed
    assert len(listed) == 7
