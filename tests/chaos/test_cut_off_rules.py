"""The rules of what ends an account's sessions, of passwords, and of accounts that are disabled or
deleted, on histories written by hand."""

from typing import Any

import pytest

from tests.chaos.story import Story

CAME_BACK = "a revoked session came back"
LOST = "a session was lost"
OLD_PASSWORD = "an old password opens"
OLD_SESSION = "a new password with an old session"
LET_IN = "an account that has ended lets in"
BY_ITSELF = "disabled by itself"
GONE, AWAY, WRONG = "invalid_refresh_token", "unauthorized", "invalid_credentials"
NEW: dict[str, Any] = {"password": "p", "session": "x", "received": "x0"}
ENDS = ("logout_all", "account_delete", "users_logout", "users_disable", "users_delete", "cutoff")


def story() -> Story:
    """Ada has session `s` and the password ''."""
    return Story()


def changed(at: float = 1, lasts: float = 0.1) -> Story:
    """The password is `p`, and session `c` was opened by that change."""
    return story().ok(
        "password_change", at, lasts, caller="s", new_password="p", session="c", received="c0"
    )


def changed_perhaps() -> Story:
    """The same, and nobody knows whether it has happened."""
    return story().unknown("password_change", 1, caller="s", new_password="p")


def disabled() -> Story:
    """From 1.1 on."""
    return story().ok("users_disable", 1)


def sooner(opened: Story) -> Story:
    """Session `y` is opened by the first password from 0.5 to 1.5."""
    return opened.ok("login", 0.5, 1.0, session="y", received="y0")


BROKEN = {
    "the new password, and the caller's old session": (
        CAME_BACK,
        changed().ok("me", 2, caller="s"),
    ),
    "a login by the old password that was under way ends with the change": (
        CAME_BACK,
        sooner(changed()).ok("me", 2, caller="y"),
    ),
    "the new password proves a change without an answer": (
        OLD_SESSION,
        changed_perhaps().ok("login", 2, **NEW).ok("me", 3, caller="s"),
    ),
    "the same, and the account is disabled": (
        OLD_SESSION,
        changed_perhaps()
        .unknown("users_disable", 1.5)
        .refused("login", 2, "account_disabled", password="p")
        .ok("me", 3, caller="s"),
    ),
    "the old password opens a session": (
        OLD_PASSWORD,
        changed().ok("login", 2, session="x", received="x0"),
    ),
    "the old password opens a challenge": (OLD_PASSWORD, changed().ok("login", 2, challenge="k")),
    "a challenge of the old password": (
        OLD_PASSWORD,
        story()
        .ok("login", 0.5, challenge="k")
        .ok("password_change", 1, caller="s", new_password="p", session="c", received="c0")
        .ok("answer", 2, challenge="k", session="x", received="x0"),
    ),
    "the old password, though the new one was used": (
        OLD_PASSWORD,
        changed_perhaps().ok("login", 2, **NEW).ok("login", 3, session="y", received="y0"),
    ),
    "the old password proves who one is": (
        OLD_PASSWORD,
        changed().ok("reauthenticate", 2, caller="c", session="c", presented="c0", received="c1"),
    ),
    "the old password is told that the account is disabled": (
        OLD_PASSWORD,
        changed().ok("users_disable", 2).refused("login", 3, "account_disabled"),
    ),
    "the new password is wrong": (
        "an account was lost",
        changed().refused("login", 2, WRONG, password="p"),
    ),
    "the password is wrong at another door": (
        "an account was lost",
        story().refused("password_change", 1, "invalid_password", caller="s", new_password="p"),
    ),
    "a session that the new password has opened": (
        LOST,
        changed(lasts=1.0).ok("login", 1.2, **NEW).refused("me", 3, AWAY, caller="x"),
    ),
    "the session that the change has opened": (
        LOST,
        changed().refused("me", 2, AWAY, caller="c"),
    ),
    "a session that a refused change has not ended": (
        LOST,
        story()
        .refused("password_change", 1, "weak_password", caller="s", new_password="p")
        .refused("me", 2, AWAY, caller="s"),
    ),
    "a session that the second factor has spared": (
        LOST,
        story()
        .ok("enable", 1, caller="s", secret="e")
        .unknown("verify", 2, caller="s", secret="e", step=10, keeps=True)
        .refused("me", 3, AWAY, caller="s"),
    ),
    "a session that the second factor has ended": (
        CAME_BACK,
        story()
        .ok("login", 0.5, session="x", received="x0")
        .ok("enable", 1, caller="s", secret="e")
        .ok("verify", 2, caller="s", secret="e", step=10, keeps=True)
        .ok("me", 3, caller="x"),
    ),
    "a session after it was proved": (
        CAME_BACK,
        story()
        .refused("reauthenticate", 1, GONE, caller="s", presented="t0")
        .ok("me", 2, caller="s"),
    ),
    "two successors at two doors": (
        "two live refresh tokens",
        story()
        .ok("refresh", 1, presented="t0", received="t1")
        .ok("reauthenticate", 1.05, caller="s", presented="t0", received="t2"),
    ),
    "a code at the login and within a session": (
        "a code counted twice",
        story()
        .ok("enable", 1, caller="s", secret="e")
        .ok("verify", 2, caller="s", secret="e", step=10)
        .ok(
            "reauthenticate",
            3,
            caller="s",
            presented="t0",
            received="t1",
            secret="e",
            step=10,
        ),
    ),
    "a disabled account refreshes": (
        CAME_BACK,
        disabled().ok("refresh", 2, presented="t0", received="t1"),
    ),
    "a login that was under way when it was disabled": (
        CAME_BACK,
        sooner(disabled()).ok("me", 2, caller="y"),
    ),
    "a login that was under way when it was deleted": (
        CAME_BACK,
        sooner(story().ok("users_delete", 1)).ok("me", 2, caller="y"),
    ),
    "a session of before, when it is enabled again": (
        CAME_BACK,
        disabled().ok("users_enable", 2).ok("me", 3, caller="s"),
    ),
    "a disabled account logs in": (LET_IN, disabled().ok("login", 2, session="x", received="x0")),
    "an account that was enabled before that": (
        LET_IN,
        story().ok("users_enable", 0.5).ok("users_disable", 1).ok("login", 2, challenge="k"),
    ),
    "a deleted account logs in": (
        LET_IN,
        story().ok("account_delete", 1, caller="s").ok("login", 2, session="x", received="x0"),
    ),
    "a guard has not heard of it for long": (
        CAME_BACK,
        changed().ok("guard", 8, caller="s"),
    ),
    "nobody has disabled it": (BY_ITSELF, story().refused("login", 1, "account_disabled")),
    "it was enabled": (
        BY_ITSELF,
        disabled().ok("users_enable", 2).refused("login", 3, "account_disabled"),
    ),
    "a session opened after everybody was cut off": (
        LOST,
        story()
        .ok("cutoff", 1, person="")
        .ok("login", 2, session="x", received="x0")
        .refused("me", 3, AWAY, caller="x"),
    ),
    "another's account was disabled": (
        LOST,
        story().ok("users_disable", 1, person="bob").refused("me", 2, AWAY, caller="s"),
    ),
}  # fmt: skip

LEGAL = {
    "a change that has ended the session and opened none": (
        story()
        .refused("password_change", 1, AWAY, caller="s", new_password="p")
        .refused("me", 2, AWAY, caller="s")
        .ok("login", 3, **NEW)
    ),
    "a change, and a change back to work": (
        changed()
        .refused("me", 2, AWAY, caller="s")
        .ok("me", 2, caller="c")
        .refused("login", 3, WRONG)
        .ok("login", 3, **NEW)
    ),
    "a change without an answer has happened": (
        changed_perhaps()
        .refused("me", 2, AWAY, caller="s")
        .refused("login", 2, WRONG)
        .ok("login", 3, **NEW)
        .refused("refresh", 4, GONE, presented="t0")
    ),
    "a change without an answer has not happened": (
        changed_perhaps()
        .ok("me", 2, caller="s")
        .refused("login", 2, WRONG, password="p")
        .ok("login", 3, session="x", received="x0")
    ),
    "a guard has not heard of it yet": changed().ok("guard", 6, caller="s"),
    "a guard has heard of what is undone": (
        story().unknown("logout", 1).refused("guard", 2, AWAY, caller="s").ok("me", 3, caller="s")
    ),
    "a guard is not told of a change that had no answer": (
        changed_perhaps().ok("login", 2, **NEW).ok("guard", 20, caller="s")
    ),
    "an old session is ended once more": (
        changed_perhaps().ok("login", 2, **NEW).ok("logout", 3)
    ),
    "a restore brings the old password back, and no session": (
        changed().restored(0.5, 3).ok("login", 4, session="x", received="x0")
    ),
    "a restore undoes a change that nobody has met": (
        changed_perhaps().ok("login", 2, **NEW).restored(0.5, 3).ok("me", 4, caller="s")
    ),
    "a challenge of the old password has ended": (
        story()
        .ok("enable", 0.2, caller="s", secret="e")
        .ok("verify", 0.3, caller="s", secret="e", step=10)
        .ok("login", 0.5, challenge="k")
        .ok("password_change", 1, caller="s", new_password="p", session="c", received="c0")
        .refused("answer", 2, "challenge_not_found", challenge="k", secret="e", step=11)
    ),
    "somebody proves who they are, again and again": (
        story()
        .ok("reauthenticate", 1, caller="s", presented="t0", received="t1", which="s")
        .refused("reauthenticate", 2, "invalid_code", caller="s", presented="t1")
        .ok("refresh", 3, presented="t1", received="t2")
    ),
    "disabled, enabled, logged in": (
        disabled()
        .refused("refresh", 2, GONE, presented="t0")
        .refused("login", 2, "account_disabled")
        .ok("users_enable", 3)
        .ok("login", 4, session="x", received="x0")
        .ok("me", 5, caller="x")
    ),
    "enabled, and nobody knows whether": (
        disabled().unknown("users_enable", 2).ok("login", 3, session="x", received="x0")
    ),
    "disabled, and nobody knows whether": (
        story().unknown("users_disable", 1).refused("login", 2, "account_disabled")
    ),
    "disabled again by a restore": (
        story()
        .ok("users_disable", 1)
        .ok("users_enable", 3)
        .ok("login", 3.5, session="x", received="x0")
        .restored(2, 4)
        .refused("me", 5, AWAY, caller="x")
        .refused("login", 5, "account_disabled")
    ),
    "deleted": (
        story()
        .ok("account_delete", 1, caller="s")
        .refused("me", 2, AWAY, caller="s")
        .refused("login", 2, WRONG)
    ),
    "deleted, and back by a restore": (
        story()
        .ok("users_delete", 1)
        .restored(0.5, 2)
        .ok("login", 3, session="x", received="x0")
    ),
    "everybody": (
        story()
        .ok("cutoff", 1, person="")
        .refused("me", 2, AWAY, caller="s")
        .ok("login", 2, session="x", received="x0")
        .ok("me", 3, caller="x")
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_must_not_be(name: str) -> None:
    """Each broken promise is found, by its own rule."""
    rule, told = BROKEN[name]
    assert rule in told.rules_broken()


@pytest.mark.parametrize("name", LEGAL)
def test_what_may_be(name: str) -> None:
    """What looks odd, and a right service can do, is not reported."""
    assert LEGAL[name].rules_broken() == set()


@pytest.mark.parametrize("kind", ENDS)
def test_what_was_answered_has_ended_all(kind: str) -> None:
    """Whoever ends them, no token of them is good afterwards; and before, anybody may be away."""
    ended: dict[str, Any] = {"person": "" if kind == "cutoff" else "ada"}
    assert CAME_BACK in story().ok(kind, 1, **ended).ok("me", 2, caller="s").rules_broken()
    told = story().unknown(kind, 1, **ended).ok("me", 2, caller="s")
    assert told.refused("me", 3, AWAY, caller="s").rules_broken() == set()
