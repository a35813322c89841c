"""What a verifier is told: times in two spellings; a mistake is named before anything starts."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from litestar import Litestar, get
from tools.testbed.issuer import Issuer
from tools.testbed.parts import SESSION, access_tokens

from service.guard import TokenRefused, Verifier
from service.guard.asgi import GuardMiddleware
from service.guard.fastapi import install, require
from service.guard.litestar import GuardPlugin
from service.guard.rules import Requirement
from tests.guard.guards import Guards, verdict

GOOD: dict[str, Any] = {
    "issuer": "https://issuer.example",
    "audience": "audience",
    "jwks_url": "https://issuer.example/.well-known/jwks.json",
    "redis_url": "unix:///tmp/x",
}


@pytest.mark.parametrize("name", ["access_ttl", "bound", "jwks_floor"])
@pytest.mark.parametrize("given", [60, 60.0, timedelta(seconds=60)])
def test_times_in_seconds_or_as_a_timedelta(name: str, given: Any) -> None:
    """One and the same."""
    assert getattr(Verifier(**GOOD | {name: given})._options, name) == 60.0


async def test_a_life_in_seconds_counts(issuer: Issuer) -> None:
    """Tokens live for 900 s: a guard that was told so takes them, one told less does not."""
    async with Guards(issuer, "") as guards:
        token, _ = access_tokens().mint(SESSION)
        assert (
            await verdict(await guards.start(mode="offline", access_ttl=900), token) == "accepted"
        )
        assert await verdict(await guards.start(mode="offline", access_ttl=60), token) == "refused"


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        *[
            (name, wrong)
            for name in ("access_ttl", "bound", "jwks_floor")
            for wrong in (
                "60", None, True, -1, -0.5, timedelta(seconds=-1), float("nan"), float("inf"),
                [60], b"60", 10**400,
            )
        ],
        ("access_ttl", 0), ("bound", 0), ("bound", timedelta()), ("access_ttl", 0.0),
        ("cache_size", -1), ("cache_size", 1.5), ("cache_size", "10"), ("cache_size", None),
        ("cache_size", True),
        ("issuer", ""), ("issuer", None), ("issuer", b"x"), ("issuer", 7),
        ("audience", ""), ("audience", ["audience"]), ("audience", None),
        ("jwks_url", ""), ("jwks_url", None), ("jwks_url", "file:///etc/passwd"),
        ("jwks_url", "https://"), ("jwks_url", "https:///x"), ("jwks_url", "http://[::1"),
        ("jwks_url", "http://h:99999/"), ("jwks_url", "http://h:x/"), ("jwks_url", "HTTP//x"),
        ("jwks_proxy", "socks5://127.0.0.1:1"), ("jwks_proxy", None), ("jwks_proxy", "127.0.0.1"),
        ("redis_url", ""), ("redis_url", None), ("redis_url", "http://x"), ("redis_url", b"x"),
        ("clock", None), ("clock", 5),
    ],
)  # fmt: skip
def test_a_mistake_is_named(name: str, wrong: Any) -> None:
    """A ValueError with the parameter in it, whatever type was given."""
    with pytest.raises(ValueError, match=rf"^{name}\b"):
        Verifier(**GOOD | {name: wrong})


@pytest.mark.parametrize("wrong", ["fast", "", None, "FEED", 1, ["feed"]])
def test_an_unknown_mode_is_told_the_known_ones(wrong: Any) -> None:
    """For `mode` and for `when_lost`."""
    with pytest.raises(ValueError, match=r"mode: no such mode .*'feed', 'strict', 'offline'"):
        Verifier(**GOOD | {"mode": wrong})
    with pytest.raises(ValueError, match=r"when_lost: no such mode .*'closed', 'ask', 'serve'"):
        Verifier(**GOOD | {"when_lost": wrong})


NO_TOKENS: list[Any] = [
    None, b"", b"a.b.c", 7, 0.5, True, [], {}, ["a.b.c"], object(), str, "", ".", "..", "\ud800",
    "\0", "a.b.c" * 100_000, bytearray(b"a.b.c"), "٣.٣.٣",
]  # fmt: skip


async def test_what_is_no_token(issuer: Issuer) -> None:
    """Refused and counted, as any token that does not count, whatever its type."""
    async with Guards(issuer, "") as guards:
        guard = await guards.start(mode="offline")
        for number, wrong in enumerate(NO_TOKENS, start=1):
            with pytest.raises(TokenRefused) as refused:
                await guard.verify(wrong)
            assert str(refused.value) == str(TokenRefused())
            assert guard.counters.refused == number
        assert await verdict(guard, access_tokens().mint(SESSION)[0]) == "accepted"


GUARD = Verifier(**GOOD)


@pytest.mark.parametrize("wrong", [None, Verifier, "verifier", 7, GOOD])
def test_what_is_no_verifier(wrong: Any) -> None:
    """Told when the app is put together, not by its first request."""
    made: list[Callable[[], object]] = [
        lambda: GuardMiddleware(FastAPI(), verifier=wrong),
        lambda: GuardPlugin(wrong),
        lambda: install(FastAPI(), wrong),
        lambda: require(wrong),
    ]
    for make in made:
        with pytest.raises(ValueError, match=r"^verifier must be a Verifier, not "):
            make()


@pytest.mark.parametrize("wrong", ["otp", b"otp", None, 7, [7], [None], [""], [b"otp"], [["otp"]]])
def test_what_are_no_methods(wrong: Any) -> None:
    """A single text is not taken for its letters, which no login has."""
    with pytest.raises(ValueError, match=r"^methods must be"):
        require(GUARD, methods=wrong)
    with pytest.raises(ValueError, match=r"^methods must be"):
        Requirement(methods=wrong)


@pytest.mark.parametrize("wrong", ["otpp", "OTP", "totp", "webauthn", "pwd otp", "*"])
def test_a_method_that_no_login_has(wrong: str) -> None:
    """Nobody could ever get in, so it is refused when the app is put together."""
    message = rf"methods: no login has '{re.escape(wrong)}'; there are 'fed', 'mfa', 'otp', 'pwd'"

    @get("/x", opt={"methods": {wrong}})
    async def route() -> None: ...

    made: list[Callable[[], object]] = [
        lambda: require(GUARD, methods=["otp", wrong]),
        lambda: Requirement(methods={wrong}),
        lambda: Litestar([route], plugins=[GuardPlugin(GUARD)]),
    ]
    for make in made:
        with pytest.raises(ValueError, match=message):
            make()
    assert Requirement(methods={"pwd", "otp", "mfa", "fed"})


def test_other_arguments() -> None:
    """A time is named as elsewhere; what is not False is not taken for True."""
    for wrong in ("60", True, -1, float("nan"), b"", [60]):
        with pytest.raises(ValueError, match=r"^max_age must be"):
            require(GUARD, max_age=wrong)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"^max_age must be"):
            Requirement(max_age=wrong)  # type: ignore[arg-type]
    for wrong in ("no", 0, None, []):
        with pytest.raises(ValueError, match=r"^optional is True or False"):
            require(GUARD, optional=wrong)  # type: ignore[arg-type]
    for asked in ({"methods": {"otp"}}, {"max_age": 600}):
        with pytest.raises(ValueError, match=r"^optional: "):
            require(GUARD, optional=True, **asked)  # type: ignore[arg-type]
    for wrong in ("no", 0, None, []):
        with pytest.raises(ValueError, match=r"^allow_preflight is"):
            GuardMiddleware(FastAPI(), verifier=GUARD, allow_preflight=wrong)  # type: ignore[arg-type]
    assert require(GUARD, max_age=60)._requirement.max_age == timedelta(minutes=1)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("redis_url", "http://user:hunter2@host"),
        ("redis_url", "redis://user:hunter2@host:port/0"),
        ("jwks_url", "ftp://user:hunter2@host"),
        ("jwks_url", "https://user:hunter2@host:port/"),
        ("jwks_proxy", "socks5://user:hunter2@host"),
    ],
)
def test_no_password_is_shown(name: str, url: str) -> None:
    """Neither in the message nor in what caused it."""
    with pytest.raises(ValueError, match=name) as raised:
        Verifier(**GOOD | {name: url})
    cause: BaseException | None = raised.value
    while cause is not None:
        assert "hunter2" not in str(cause)
        cause = cause.__cause__
    assert "hunter2" not in repr(Verifier(**GOOD | {"redis_url": "redis://u:hunter2@h"})._options)


@pytest.mark.parametrize(
    "proxy", ["socks5://127.0.0.1:1", "http://127.0.0.1:1", "nonsense", "socks5h://u:p@h:1"]
)
async def test_proxies_of_the_environment_are_not_used(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """They lead elsewhere; the guard talks to its own issuer only, and starts whatever they say."""
    for name in ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, proxy)
        monkeypatch.setenv(name.lower(), proxy)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with Guards(issuer, "") as guards:
        guard = await guards.start(mode="offline")
        assert await verdict(guard, access_tokens().mint(SESSION)[0]) == "accepted"


async def test_a_proxy_that_is_named(issuer: Issuer) -> None:
    """It gets the whole address, as an HTTP proxy does."""
    async with Guards(issuer, "") as guards:
        proxy = issuer.url.removesuffix("/.well-known/jwks.json")
        guard = await guards.start(
            mode="offline", jwks_url="http://issuer.invalid/jwks.json", jwks_proxy=proxy
        )
        assert await verdict(guard, access_tokens().mint(SESSION)[0]) == "accepted"
