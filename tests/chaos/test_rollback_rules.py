"""What holds of a Redis that goes back in time, and what is lost with it."""

import pytest
from tools.chaos.history import OPERATORS
from tools.chaos.rollbacks import FLUSH

from tests.chaos.story import Story

GUARD = {"caller": "s"}
LOGIN = {"session": "x", "received": "x0"}
BUCKET = 7


def rotated(at: float) -> Story:
    """The first token is spent then."""
    return Story().ok("refresh", at, presented="t0", received="t1", which="s")


BROKEN = {
    "a session that was ended before the copy": (
        "a revoked session came back",
        Story().ok("logout", 0.5).back(1, 3).ok("me", 4, caller="s"),
    ),
    "a session that was ended since the copy": (
        "a revoked session came back",
        Story().ok("logout", 2).back(1, 3).ok("me", 4, caller="s"),
    ),
    "at a guard, after a flush": (
        "a revoked session came back",
        Story().ok("logout", 2).back(2.5, 4, FLUSH).ok("guard", 9, **GUARD),
    ),
    "what operators had ended right before it went back": (
        "a revoked session came back",
        Story().ok("users_logout", 2.7, pod=OPERATORS).back(1, 3).ok("me", 4, caller="s"),
    ),
    "a session of before the copy is lost": (
        "a session was lost",
        Story().back(1, 3).refused("me", 4, "unauthorized", caller="s"),
    ),
    "a session of after it is lost": (
        "a session was lost",
        Story().back(1, 3).ok("login", 4, **LOGIN).refused("me", 5, "unauthorized", caller="x"),
    ),
    "another bucket was cut off": (
        "a session was lost",
        Story()
        .back(1, 3)
        .redone(2.9, BUCKET, cut_off=True)
        .refused("me", 4, "unauthorized", caller="s"),
    ),
    "a bucket was mended without a cut-off": (
        "a session was lost",
        Story()
        .ok("login", 0.3, bucket=BUCKET, **LOGIN)
        .back(1, 3)
        .redone(2.9, BUCKET, cut_off=False)
        .refused("me", 4, "unauthorized", caller="x"),
    ),
    "a rotation of before the copy is undone": (
        "two live refresh tokens",
        rotated(0.5)
        .back(4, 6)
        .ok("refresh", 7, presented="t0", received="t2", which="s"),
    ),
    "an honest refresh of before the copy is theft": (
        "an early reuse verdict",
        rotated(0.5).back(1, 3).refused("refresh", 4, "refresh_token_reused", presented="t1"),
    ),
    "a step twice": (
        "a code counted twice",
        Story()
        .ok("enable", 0.2, caller="s", secret="e")
        .ok("verify", 0.4, caller="s", secret="e", step=10)
        .ok("login", 0.6, challenge="c")
        .ok("login", 0.8, challenge="d")
        .back(1, 3)
        .ok("answer", 2, challenge="c", secret="e", step=11)
        .ok("answer", 4, challenge="d", secret="e", step=11),
    ),
}  # fmt: skip

LEGAL = {
    "what operators ended while it went back": (
        Story().ok("users_logout", 2.85, pod=OPERATORS).back(1, 3).ok("me", 4, caller="s")
    ),
    "a session of after the copy is gone": (
        Story().back(1, 3).ok("login", 2, **LOGIN).refused("me", 4, "unauthorized", caller="x")
    ),
    "all are after a flush": (
        Story().back(1, 3, FLUSH).refused("me", 4, "unauthorized", caller="s")
    ),
    "one that is gone lives on at a guard, as nobody has ended it": (
        Story()
        .back(1, 3)
        .ok("login", 2, **LOGIN)
        .refused("me", 4, "unauthorized", caller="x")
        .ok("guard", 20, caller="x")
    ),
    "one that was rotated since ends at its next refresh": (
        rotated(2).back(1, 3).refused("refresh", 4, "refresh_token_reused", presented="t1")
    ),
    "a rotation of after the copy is undone": (
        rotated(2).back(1, 3).ok("refresh", 7, presented="t0", received="t2", which="s")
    ),
    "a bucket was cut off, and said so": (
        Story()
        .ok("login", 0.3, bucket=BUCKET, **LOGIN)
        .back(1, 3)
        .redone(2.9, BUCKET, cut_off=True)
        .refused("me", 4, "unauthorized", caller="x")
    ),
    "a challenge of after the copy is gone": (
        Story()
        .ok("enable", 0.2, caller="s", secret="e")
        .ok("verify", 0.4, caller="s", secret="e", step=10)
        .back(1, 3)
        .ok("login", 2, challenge="c")
        .refused("answer", 4, "challenge_not_found", challenge="c", secret="e", step=11)
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rule", "story"), BROKEN.values(), ids=BROKEN.keys())
def test_broken(rule: str, story: Story) -> None:
    """Each of these is found."""
    assert story.rules_broken() == {rule}


@pytest.mark.parametrize("story", LEGAL.values(), ids=LEGAL.keys())
def test_legal(story: Story) -> None:
    """None of these is."""
    assert story.rules_broken() == set()
