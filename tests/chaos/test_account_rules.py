"""The rules of accounts and second factors, and of answers as such, on histories by hand."""

import pytest

from tests.chaos.story import Story

TWICE = "a code counted twice"


def story() -> Story:
    return Story()


def enrolled() -> Story:
    """The second factor is on since 2.1, confirmed with step 10; `r1` is a recovery code."""
    return (
        story()
        .ok("enable", 1, caller="s", secret="e")
        .ok("verify", 2, caller="s", secret="e", step=10, codes=("r1", "r2"))
    )


def challenged(*challenges: str) -> Story:
    """The same, and these challenges are open."""
    told = enrolled()
    for number, challenge in enumerate(challenges):
        told.ok("login", 3 + number / 10, challenge=challenge)
    return told


BROKEN = {
    "the password is wrong": (
        "an account was lost",
        story().refused("login", 1, "invalid_credentials"),
    ),
    "login without a code": (
        "a second factor was lost",
        enrolled().ok("login", 3, session="x", received="x0"),
    ),
    "another enrolment": (
        "a second factor was lost",
        enrolled().ok("enable", 3, caller="s", secret="f"),
    ),
    "a challenge for nobody's second factor": (
        "a second factor out of nowhere",
        story().ok("enable", 1, caller="s", secret="e").ok("login", 2, challenge="c"),
    ),
    "the same code at two doors": (
        TWICE,
        challenged("c").ok("answer", 4, challenge="c", secret="e", step=10),
    ),
    "the same code twice": (
        TWICE,
        challenged("c", "d")
        .ok("answer", 4, challenge="c", secret="e", step=11)
        .ok("answer", 4, challenge="d", secret="e", step=11),
    ),
    "the same challenge twice": (
        TWICE,
        challenged("c")
        .ok("answer", 4, challenge="c", secret="e", step=11)
        .ok("answer", 5, challenge="c", secret="e", step=12),
    ),
    "the same recovery code twice": (
        TWICE,
        challenged("c", "d")
        .ok("answer", 4, challenge="c", secret="e", recovery="r1")
        .ok("answer", 5, challenge="d", secret="e", recovery="r1"),
    ),
    "an older code": (
        "an old code counted",
        challenged("c").ok("answer", 4, challenge="c", secret="e", step=9),
    ),
    "a challenge is gone": (
        "a challenge was lost",
        challenged("c").refused("answer", 4, "challenge_not_found", challenge="c", secret="e"),
    ),
    "an enrolment is gone": (
        "an enrolment was lost",
        story()
        .ok("enable", 1, caller="s", secret="e")
        .refused("verify", 2, "enrollment_not_found", caller="s", secret="e", step=10),
    ),
    "a recovery code is gone": (
        "a recovery code was lost",
        challenged("c").refused("answer", 4, "invalid_code", challenge="c", recovery="r1"),
    ),
    "another verification shows other recovery codes": (
        "recovery codes changed",
        enrolled().ok("verify", 2, caller="s", secret="e", step=10, codes=("r3", "r4")),
    ),
    "locked out after one try": (
        "locked out",
        enrolled().refused("login", 3, "rate_limited"),
    ),
    "another person's answer": ("mixed up", story().ok("me", 1, caller="s", whose="bob")),
    "another session's answer": ("mixed up", story().ok("me", 1, caller="s", which="x")),
    "a defect": ("defect", story().unknown("me", 1, status=500, code="server_error")),
}  # fmt: skip

LEGAL = {
    "a login with each kind of code": (
        challenged("c", "d")
        .ok("answer", 4, challenge="c", secret="e", step=11)
        .ok("answer", 5, challenge="d", secret="e", recovery="r1")
    ),
    "a verification is retried with its code": (
        story()
        .ok("enable", 1, caller="s", secret="e")
        .unknown("verify", 2, caller="s", secret="e", step=10)
        .ok("verify", 3, caller="s", secret="e", step=10, codes=("r1",))
    ),
    "two verifications race": (
        enrolled().ok("verify", 2, 1.0, caller="s", secret="e", step=10, codes=("r1", "r2"))
    ),
    "a verification without an answer has happened": (
        story()
        .ok("enable", 1, caller="s", secret="e")
        .unknown("verify", 2, caller="s", secret="e", step=10)
        .refused("verify", 3, "already_enabled", caller="s", secret="e", step=10)
        .ok("login", 4, challenge="c")
    ),
    "a login that began before the verification was answered": (
        enrolled().ok("login", 2.05, 1.0, session="x", received="x0")
    ),
    "a code whose first try had no answer is refused": (
        challenged("c")
        .unknown("answer", 4, challenge="c", secret="e", step=11)
        .refused("answer", 5, "challenge_not_found", challenge="c", secret="e", step=11)
    ),
    "a recovery code whose first try had no answer is refused": (
        challenged("c", "d")
        .unknown("answer", 4, challenge="c", secret="e", recovery="r1")
        .refused("answer", 5, "invalid_code", challenge="d", secret="e", recovery="r1")
    ),
    "a sign-up without an answer": (
        story()
        .unknown("signup", 1, person="bob")
        .refused("login", 2, "invalid_credentials", person="bob")
        .refused("signup", 3, "email_taken", person="bob")
    ),
    "a login while the sign-up is under way": (
        story()
        .ok("signup", 1, 1.0, person="bob", session="b", received="b0")
        .refused("login", 1.5, "invalid_credentials", person="bob")
    ),
    "another enable replaces an enrolment": (
        story()
        .ok("enable", 1, caller="s", secret="e")
        .unknown("enable", 2, caller="s")
        .refused("verify", 3, "enrollment_not_found", caller="s", secret="e", step=10)
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


def test_ten_tries_lock_an_account() -> None:
    """Attempts without an answer may stay counted."""
    told = story()
    for number in range(10):
        told.unknown("login", 1 + number)
    assert told.refused("login", 20, "rate_limited").rules_broken() == set()
