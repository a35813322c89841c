"""The rules of pods whose clock is wrong, whose log is not read, or whose cluster has shrunk."""

import pytest

from tests.chaos.story import ACCESS_LIFE, Story

CLOCK, LOG, SCALE_IN = "skew a pod's clock", "stop a log reader", "scale in"
TOKEN = "a wrong token"


def skewed(ahead: float) -> Story:
    """So is pod 0, from 1 to 9."""
    return Story().fault(1, 9, CLOCK, ahead)


def token(told: Story, at: float, off: float, life: int = ACCESS_LIFE, said: int = 0) -> Story:
    """A refresh is answered with an access token like this."""
    facts = {"life": life, "expires_in": said or life, "off": off}
    return told.ok("refresh", at, presented="t0", received="t1", **facts)


def scaled_in() -> Story:
    """A primary is away from 1 to 20."""
    return Story().fault(1, 20, SCALE_IN)


BROKEN = {
    "a pod hangs while its log is not read": (
        "a pod hung",
        Story().fault(1, 9, LOG).unknown("live", 2, 5.0, code="ReadTimeout", person=""),
    ),
    "ready a minute ahead": (
        "a pod with a wrong clock was ready",
        skewed(60).ok("ready", 5, person=""),
    ),
    "ready a minute behind": (
        "a pod with a wrong clock was ready",
        skewed(-60).ok("ready", 5, person=""),
    ),
    "a code is judged by a wrong clock": (
        "a wrong clock judged a code",
        skewed(75).ok("verify", 2, caller="s", secret="e", step=10, codes=("r1",)),
    ),
    "a token of a wrong clock": ("a wrong clock signed a token", token(skewed(60), 2, 60.0)),
    "a token that is over": (TOKEN, token(Story(), 2, 0.0, life=-1)),
    "a token for longer than is set": (TOKEN, token(Story(), 2, 0.0, life=ACCESS_LIFE + 1)),
    "a token that lives shorter than is said": (TOKEN, token(Story(), 2, 0.0, said=901)),
    "a token of a time that no clock has had": (TOKEN, token(Story(), 2, 25.0)),
    "a token that is off by more than its pod": (TOKEN, token(skewed(25), 2, 75.0)),
    "a token that is off on the other side": (TOKEN, token(skewed(25), 2, -25.0)),
    "a clock that was set right": (TOKEN, token(skewed(25), 10, 25.0)),
    "a pod does not find the slots that were moved": (
        "the map of the cluster was not read",
        scaled_in().refused("ready", 2, "not_ready").refused("ready", 17, "not_ready"),
    ),
}  # fmt: skip

LEGAL = {
    "a pod answers while its log is not read": Story().fault(1, 9, LOG).ok("live", 2, person=""),
    "ready some seconds ahead": skewed(25).ok("ready", 5, person=""),
    "not ready a minute ahead": skewed(60).refused("ready", 5, "not_ready", person=""),
    "ready before it has looked": skewed(60).ok("ready", 2, person=""),
    "ready when it is over": skewed(60).ok("ready", 9, person=""),
    "a token of its pod's clock": token(skewed(25), 2, 25.0),
    "a token of when the clock was being set": token(skewed(75), 8.95, 75.0),
    "a code of a few seconds ahead": (
        skewed(25).ok("verify", 2, caller="s", secret="e", step=10, codes=("r1",))
    ),
    "the slots are found in time": (
        scaled_in().refused("ready", 2, "not_ready").ok("ready", 3, person="")
    ),
    "a pod was killed meanwhile": (
        scaled_in()
        .refused("ready", 2, "not_ready", person="")
        .unsent("ready", 5, person="")
        .refused("ready", 17, "not_ready", person="")
    ),
    "no time was left to find them": scaled_in().refused("ready", 2, "not_ready"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_must_not_be(name: str) -> None:
    """Each broken promise is found, by its own rule."""
    rule, told = BROKEN[name]
    assert rule in told.rules_broken()


@pytest.mark.parametrize("name", LEGAL)
def test_what_may_be(name: str) -> None:
    """What a right service can do is not reported."""
    assert LEGAL[name].rules_broken() == set()
