"""The options of a verifier, checked before anything is started."""

import math
import socket
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

import httpx
import msgspec

from ..redis.url import RedisUrl

Mode = Literal["feed", "strict", "offline"]
WhenLost = Literal["closed", "ask", "serve"]
_METHODS = frozenset({"pwd", "otp", "mfa", "fed"})
"""What the service writes to `amr`."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Checked options. Times in seconds. URLs may hold a password, so they are not shown."""

    issuer: str
    audience: str
    jwks_url: str
    jwks_proxy: str
    redis: RedisUrl | None
    """The Redis to read; None in the mode `offline`."""
    mode: Mode
    when_lost: WhenLost
    bound: float
    access_ttl: float
    jwks_floor: float
    cache_size: int
    clock: Callable[[], float]
    pod: str
    """What the guard calls itself where it says how far it has read."""

    def __repr__(self) -> str:
        return f"Options({self.issuer!r}, {self.audience!r}, {self.mode})"


def checked(*, redis_url: object, **given: Any) -> Options:
    """Check the options of `Verifier.__init__`.

    Raises:
        ValueError: names the parameter, and never shows a URL.
    """
    mode = _one_of("mode", given.pop("mode"), get_args(Mode))
    times = {name: given.pop(name) for name in ("bound", "access_ttl", "jwks_floor")}
    size = given.pop("cache_size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError(f"cache_size must be a number of tokens, 0 or more, not {size!r}")
    if not callable(given["clock"]):
        raise ValueError("clock must be a function that returns seconds since 1970")
    return Options(
        issuer=_text("issuer", given["issuer"]),
        audience=_text("audience", given["audience"]),
        jwks_url=_http_url("jwks_url", given["jwks_url"]),
        jwks_proxy=_proxy(given["jwks_proxy"]),
        redis=None if mode == "offline" else _redis(redis_url),
        mode=mode,
        when_lost=_one_of("when_lost", given["when_lost"], get_args(WhenLost)),
        bound=seconds("bound", times["bound"]),
        access_ttl=seconds("access_ttl", times["access_ttl"]),
        jwks_floor=seconds("jwks_floor", times["jwks_floor"], zero=True),
        cache_size=size,
        clock=given["clock"],
        pod=_text("pod", given["pod"] or socket.gethostname() or "?"),
    )


def seconds(name: str, given: object, *, zero: bool = False) -> float:
    """Read a span of time: a timedelta, or seconds as int or float.

    Raises:
        ValueError: it is neither, or not positive (nor, with `zero`, 0). Names the parameter.
    """
    wanted = f"{name} must be a timedelta or seconds, {'0 or more' if zero else 'more than 0'}"
    if isinstance(given, timedelta):
        given = given.total_seconds()
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise ValueError(f"{wanted}, not {type(given).__name__}")
    try:
        found = float(given)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found) or found < 0 or (found == 0 and not zero):
        raise ValueError(f"{wanted}, not {found}")
    return found


def check_verifier(given: object) -> None:
    """Make sure that it is a verifier, not its class or nothing at all.

    Raises:
        ValueError: it is not.
    """
    if not (callable(getattr(given, "verify", None)) and hasattr(type(given), "__aenter__")):
        raise ValueError(f"verifier must be a Verifier, not {type(given).__name__}")


def check_yes_or_no(name: str, given: object) -> None:
    """Make sure that an argument is True or False. Raises ValueError, which names it."""
    if not isinstance(given, bool):
        raise ValueError(f"{name} is True or False")


def login_methods(given: object) -> frozenset[str]:
    """Read a collection of values of `amr`. A single text would be taken for its letters.

    Raises:
        ValueError: it is none, or has one that no login ever has: nobody could get in.
    """
    if isinstance(given, Iterable) and not isinstance(given, str | bytes):
        methods = tuple(given)
        if all(isinstance(method, str) and method for method in methods):
            if unknown := sorted(set(methods) - _METHODS):
                there = ", ".join(map(repr, sorted(_METHODS)))
                raise ValueError(f"methods: no login has {unknown[0]!r}; there are {there}")
            return frozenset(methods)
    raise ValueError('methods must be a collection of texts, such as {"otp"}')


def _one_of(name: str, given: Any, known: Iterable[Any]) -> Any:
    if given not in known:
        there = ", ".join(map(repr, known))
        raise ValueError(f"{name}: no such mode as {given!r}; there are {there}")
    return given


def _text(name: str, given: object) -> str:
    if not isinstance(given, str) or not given:
        raise ValueError(f"{name} must be a text, as the service has it, not {given!r}")
    return given


def _http_url(name: str, given: object) -> str:
    fault = ValueError(f"{name} must begin with https:// or http:// and name a host")
    if not isinstance(given, str) or not given.startswith(("https://", "http://")):
        raise fault
    try:
        parts = urlsplit(given)
        port_is_one = parts.port is None or parts.port > 0
        httpx.URL(given)
    except (ValueError, httpx.InvalidURL):
        raise fault from None
    if not parts.hostname or not port_is_one:
        raise fault
    return given


def _proxy(given: object) -> str:
    if given == "":
        return ""
    try:
        return _http_url("jwks_proxy", given)
    except ValueError as fault:
        raise ValueError(f"{fault} (other kinds of proxy are not supported)") from None


def _redis(given: object) -> RedisUrl:
    try:
        if isinstance(given, str):
            return RedisUrl.parse(given)
    except ValueError as fault:
        raise ValueError(f"redis_url: {fault}") from None
    raise ValueError(f"redis_url must be a text, not {type(given).__name__}")
