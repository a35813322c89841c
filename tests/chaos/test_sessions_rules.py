"""The rules of sessions and their tokens, on histories written by hand."""

import pytest

from tests.chaos.story import Story

CAME_BACK = "a revoked session came back"
LOST = "a session was lost"
THEFT = "an early reuse verdict"
TWO = "two live refresh tokens"
REUSED, GONE, AWAY = "refresh_token_reused", "invalid_refresh_token", "unauthorized"


def story() -> Story:
    return Story()


def replicated() -> Story:
    return Story(reads_are_final=False)


def refreshed() -> Story:
    """`t0` was exchanged for `t1` from 1.0 to 1.1."""
    return story().ok("refresh", 1, presented="t0", received="t1")


BROKEN = {
    "me after logout": (CAME_BACK, story().ok("logout", 1).ok("me", 2, caller="s")),
    "refresh after logout": (
        CAME_BACK,
        story().ok("logout", 1).ok("refresh", 2, presented="t0", received="t1"),
    ),
    "another logout through it": (
        CAME_BACK,
        story().ok("revoke", 1).ok("logout_all", 2, caller="s"),
    ),
    "a wrong code was looked at": (
        CAME_BACK,
        story().ok("logout", 1).refused("verify", 2, "invalid_code", caller="s", secret="e"),
    ),
    "me after everything was ended": (
        CAME_BACK,
        story().ok("logout_all", 1, caller="s").ok("me", 2, caller="s"),
    ),
    "the other session after all others were ended": (
        CAME_BACK,
        story()
        .ok("login", 1, session="x", received="x0")
        .ok("logout_all", 2, caller="x", keeps=True)
        .ok("me", 3, caller="s"),
    ),
    "me after theft": (
        CAME_BACK,
        refreshed().refused("refresh", 5, REUSED, presented="t0").ok("me", 6, caller="s"),
    ),
    "me after a retried logout found it gone": (
        CAME_BACK,
        story()
        .unknown("logout", 1)
        .refused("logout", 2, "session_not_found")
        .ok("me", 3, caller="s"),
    ),
    "me after me was turned away, on one server": (
        CAME_BACK,
        story().unknown("logout", 1).refused("me", 2, AWAY, caller="s").ok("me", 3, caller="s"),
    ),
    "two logouts are told that they have ended it": (
        "ended twice",
        story().ok("logout", 1, 1.0).ok("revoke", 1.5),
    ),
    "me is turned away": (LOST, story().refused("me", 1, AWAY, caller="s")),
    "logout finds nothing": (LOST, story().refused("logout", 1, "session_not_found")),
    "refresh finds nothing": (LOST, story().refused("refresh", 1, GONE, presented="t0")),
    "a logout that never left is no cause": (
        LOST,
        story().unsent("logout", 1).refused("me", 2, AWAY, caller="s"),
    ),
    "a logout that came later is no cause": (
        LOST,
        story().refused("me", 1, AWAY, caller="s").ok("logout", 2),
    ),
    "another's logout is no cause": (
        LOST,
        story()
        .ok("signup", 0, person="bob", session="b", received="b0")
        .ok("logout_all", 1, person="bob", caller="b")
        .refused("me", 2, AWAY, caller="s"),
    ),
    "a logout everywhere before it was opened is no cause": (
        LOST,
        story()
        .ok("logout_all", 1, caller="s")
        .ok("login", 2, session="x", received="x0")
        .refused("me", 3, AWAY, caller="x"),
    ),
    "the session that was to be kept": (
        LOST,
        story().unknown("logout_all", 1, caller="s", keeps=True).refused("me", 2, AWAY, caller="s"),
    ),
    "an honest refresh that was retried is no cause": (
        LOST,
        story()
        .unknown("refresh", 1, presented="t0")
        .ok("refresh", 2, presented="t0", received="t1")
        .refused("me", 2.5, AWAY, caller="s"),
    ),
    "the first refresh is theft": (
        THEFT,
        story().refused("refresh", 1, REUSED, presented="t0"),
    ),
    "a retry within the grace is theft": (
        THEFT,
        story().unknown("refresh", 1, presented="t0").refused("refresh", 3, REUSED, presented="t0"),
    ),
    "the latest token is theft, because Redis went back": (
        THEFT,
        refreshed().refused("refresh", 9, REUSED, presented="t1"),
    ),
    "one that never left spends nothing": (
        THEFT,
        story().unsent("refresh", 1, presented="t0").refused("refresh", 9, REUSED, presented="t0"),
    ),
    "its successor is spent only later": (
        THEFT,
        refreshed()
        .refused("refresh", 1.5, REUSED, presented="t0")
        .refused("refresh", 2, GONE, presented="t1"),
    ),
    "its successor was never sent": (
        THEFT,
        refreshed()
        .unsent("refresh", 1.2, presented="t1")
        .refused("refresh", 1.5, REUSED, presented="t0"),
    ),
    "racers get different successors": (
        TWO,
        refreshed().ok("refresh", 1, presented="t0", received="t2"),
    ),
    "a token is good after its successor was spent": (
        TWO,
        refreshed()
        .ok("refresh", 2, presented="t1", received="t2")
        .ok("refresh", 2.5, presented="t0", received="t1"),
    ),
    "a token is good after its grace": (
        TWO,
        refreshed().ok("refresh", 5, presented="t0", received="t1"),
    ),
}  # fmt: skip

LEGAL = {
    "a day in the life": refreshed()
    .ok("me", 1.2, caller="s", whose="ada", which="s")
    .ok("refresh", 2, presented="t1", received="t2", which="s")
    .ok("logout", 3)
    .refused("me", 4, AWAY, caller="s")
    .refused("refresh", 5, GONE, presented="t2")
    .refused("logout", 6, "session_not_found", caller="s"),
    "me while the logout is under way": story().ok("logout", 1, 1.0).ok("me", 1.5, caller="s"),
    "me that began before the logout was answered": (
        story().ok("logout", 1).ok("me", 0.9, 5.0, caller="s")
    ),
    "a logout without an answer has happened": (
        story().unknown("logout", 1).refused("me", 2, AWAY, caller="s")
    ),
    "a logout without an answer has not happened": (
        story().unknown("logout", 1).ok("me", 2, caller="s").ok("logout", 3)
    ),
    "it happens later": (
        story().unknown("logout", 1).ok("me", 2, caller="s").refused("me", 3, AWAY, caller="s")
    ),
    "a read of what no replica has may be undone": (
        replicated()
        .unknown("logout", 1)
        .refused("me", 2, AWAY, caller="s")
        .ok("me", 3, caller="s")
    ),
    "a logout through a session that is over": (
        story()
        .ok("login", 1, session="x", received="x0")
        .ok("logout", 2)
        .ok("logout", 3, caller="s", session="x")
    ),
    "a session opened while all are ended may be spared": (
        story()
        .ok("logout_all", 1, 1.0, caller="s")
        .ok("login", 1.2, session="x", received="x0")
        .ok("me", 3, caller="x")
    ),
    "a session opened while all are ended may be ended": (
        story()
        .ok("logout_all", 1, 1.0, caller="s")
        .ok("login", 1.2, session="x", received="x0")
        .refused("me", 3, AWAY, caller="x")
    ),
    "racers get the same successor": (
        refreshed().ok("refresh", 1, presented="t0", received="t1")
    ),
    "a retry within the grace": (
        story()
        .unknown("refresh", 1, presented="t0")
        .ok("refresh", 3.5, presented="t0", received="t1")
        .ok("refresh", 4, presented="t1", received="t2")
    ),
    "a late retry of what had not happened": (
        story()
        .unknown("refresh", 1, presented="t0")
        .ok("refresh", 9, presented="t0", received="t1")
    ),
    "a retry after the grace is theft": (
        story()
        .unknown("refresh", 1, presented="t0")
        .refused("refresh", 9, REUSED, presented="t0")
        .refused("me", 10, AWAY, caller="s")
    ),
    "a racer is late, and the successor was spent": (
        refreshed()
        .ok("refresh", 1.2, presented="t1", received="t2")
        .refused("refresh", 1.1, REUSED, 1.0, presented="t0")
    ),
    "a handoff that was under way while the successor was spent": (
        refreshed()
        .ok("refresh", 1.05, 1.0, presented="t0", received="t1")
        .ok("refresh", 1.2, presented="t1", received="t2")
    ),
    "a stopped pod presents a token again when it goes on": (
        story()
        .fault(0.5, 6.0)
        .unknown("refresh", 1, 3.0, presented="t0")
        .ok("refresh", 4.1, presented="t0", received="t1")
        .ok("refresh", 5, presented="t1", received="t2")
        .refused("refresh", 7, GONE, presented="t2")
    ),
    "the same, and somebody only looks": (
        story()
        .fault(0.5, 6.0)
        .unknown("refresh", 1, 3.0, presented="t0")
        .ok("refresh", 4.1, presented="t0", received="t1")
        .ok("refresh", 5, presented="t1", received="t2")
        .refused("me", 7, AWAY, caller="s")
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
