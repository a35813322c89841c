"""What holds of a user store that goes back to an earlier copy, and what is lost with it."""

import pytest

from tests.chaos.story import Story


def enrolled(at: float) -> Story:
    """The second factor is on since then; `r1` is a recovery code."""
    return (
        Story()
        .ok("enable", at - 0.5, caller="s", secret="e")
        .ok("verify", at, caller="s", secret="e", step=10, codes=("r1", "r2"))
    )


def anew(at: float) -> Story:
    """Bob signs up then: session `b`, refresh token `b0`."""
    return Story().ok("signup", at, person="bob", session="b", received="b0")


BOB = {"person": "bob", "caller": "b"}
LOGIN = {"session": "x", "received": "x0"}

BROKEN = {
    "an account of before the copy": (
        "an account was lost",
        Story().restored(1, 3).refused("login", 4, "invalid_credentials"),
    ),
    "an account of after the restore": (
        "an account was lost",
        anew(4).restored(1, 3).refused("login", 5, "invalid_credentials", person="bob"),
    ),
    "an account that was seen after the restore": (
        "an account was lost",
        anew(2)
        .restored(1, 3)
        .ok("login", 4, person="bob", **LOGIN)
        .refused("login", 5, "invalid_credentials", person="bob"),
    ),
    "a session of an account of before the copy": (
        "a session was lost",
        Story().restored(1, 3).refused("me", 4, "unauthorized", caller="s"),
    ),
    "a session that was ended before the copy": (
        "a revoked session came back",
        Story().ok("logout", 0.5).restored(1, 3).ok("me", 4, caller="s"),
    ),
    "a session that was ended since the copy": (
        "a revoked session came back",
        Story().ok("logout", 2).restored(1, 3).ok("me", 4, caller="s"),
    ),
    "a session that has found no account": (
        "a revoked session came back",
        anew(2)
        .restored(1, 3)
        .refused("refresh", 4, "invalid_refresh_token", person="bob", session="b", presented="b0")
        .ok("me", 5, **BOB),
    ),
    "a login past the factor of the copy": (
        "a second factor was lost",
        enrolled(1).restored(2, 3).ok("login", 4, **LOGIN),
    ),
    "a login past a factor of after the restore": (
        "a second factor was lost",
        enrolled(4).restored(2, 3).ok("login", 5, **LOGIN),
    ),
    "a step twice": (
        "a code counted twice",
        enrolled(1)
        .ok("login", 2, challenge="c")
        .ok("login", 2, challenge="d")
        .restored(2.5, 4)
        .ok("answer", 3, challenge="c", secret="e", step=11)
        .ok("answer", 5, challenge="d", secret="e", step=11),
    ),
    "a challenge twice": (
        "a code counted twice",
        enrolled(1)
        .ok("login", 2, challenge="c")
        .restored(2.5, 4)
        .ok("answer", 3, challenge="c", secret="e", step=11)
        .ok("answer", 5, challenge="c", secret="e", step=12),
    ),
    "a recovery code that was used before the copy": (
        "a code counted twice",
        enrolled(1)
        .ok("login", 1.5, challenge="c")
        .ok("login", 1.5, challenge="d")
        .ok("answer", 2, challenge="c", secret="e", recovery="r1")
        .restored(2.5, 4)
        .ok("answer", 5, challenge="d", secret="e", recovery="r1"),
    ),
    "a recovery code twice after one restore": (
        "a code counted twice",
        enrolled(1)
        .restored(2, 4)
        .ok("answer", 3, challenge="c", secret="e", recovery="r1")
        .ok("answer", 5, challenge="d", secret="e", recovery="r1")
        .ok("answer", 6, challenge="f", secret="e", recovery="r1"),
    ),
    "a challenge of a factor of before the copy": (
        "a challenge was lost",
        enrolled(1)
        .ok("login", 2, challenge="c")
        .restored(3, 4)
        .refused("answer", 5, "challenge_not_found", challenge="c", secret="e"),
    ),
    "a pod goes on with an account that is gone": (
        "a lost account lives on",
        anew(2).restored(1, 3).ok("me", 10, **BOB),
    ),
    "a pod goes on with a factor that is gone": (
        "a lost second factor lives on",
        enrolled(2).restored(1, 3).ok("me", 10, caller="s", shows="on"),
    ),
}  # fmt: skip

LEGAL = {
    "an account of after the copy is gone": (
        anew(2)
        .restored(1, 3)
        .refused("me", 4, "unauthorized", **BOB)
        .refused("refresh", 5, "invalid_refresh_token", person="bob", session="b", presented="b0")
        .refused("login", 6, "invalid_credentials", person="bob")
    ),
    "another pod has not noticed yet": (
        anew(2).restored(1, 3).refused("me", 4, "unauthorized", **BOB).ok("me", 4.5, **BOB)
    ),
    "an account that was made while it was copied": (
        anew(1.05).restored(1, 3).ok("me", 20, **BOB)
    ),
    "a factor of after the copy is gone, and enabled again": (
        enrolled(2)
        .restored(1, 3)
        .ok("login", 4, **LOGIN)
        .ok("enable", 5, caller="s", secret="f")
        .ok("verify", 6, caller="s", secret="f", step=12, codes=("r3",))
        .ok("login", 7, challenge="c")
        .ok("me", 20, caller="s", shows="on")
    ),
    "a factor whose verification had no answer is shown": (
        Story()
        .ok("enable", 1, caller="s", secret="e")
        .restored(1.5, 3)
        .unknown("verify", 2, caller="s", secret="e", step=10)
        .ok("me", 20, caller="s", shows="on")
    ),
    "a challenge of a factor that is gone": (
        enrolled(2)
        .ok("login", 2.5, challenge="c")
        .restored(1, 3)
        .refused("answer", 4, "challenge_not_found", challenge="c", secret="e")
    ),
    "a recovery code that was used since the copy": (
        enrolled(1)
        .restored(2, 4)
        .ok("answer", 3, challenge="c", secret="e", recovery="r1")
        .ok("answer", 5, challenge="d", secret="e", recovery="r1")
    ),
    "PostgreSQL is away after it was restored": (
        anew(2).restored(1, 3).fault(8, 9, "freeze PostgreSQL").ok("me", 10, **BOB)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_must_not_be(name: str) -> None:
    """Each broken promise is found, by its own rule."""
    rule, told = BROKEN[name]
    assert rule in told.rules_broken()


@pytest.mark.parametrize("name", LEGAL)
def test_what_may_be(name: str) -> None:
    """What a right service can do on such a store is not reported."""
    assert LEGAL[name].rules_broken() == set()
