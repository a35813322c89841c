"""The issuer's public keys: a JWK set (RFC 7517), fetched over HTTP and kept.

The set is fetched at the start, then in the background before it gets old (`max-age`), and when a
token names a key that is not in it. Between two fetches lies a least interval (`floor`), so that
tokens with invented keys cannot make the guard flood the issuer. While the issuer cannot be
reached, the keys that are known stay valid.

What is fetched is limited before it is parsed, in bytes, seconds and keys, and whatever it holds,
the next fetch comes: else a key that was withdrawn would be trusted on.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable
from contextlib import suppress
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)

from ..access_tokens.reader import Keys, decode
from .counters import GuardCounters

logger = logging.getLogger("openshow_auth.guard")

_LARGEST_SET = 65_536
_MOST_KEYS = 64
"""Keys in a set at most, of those that could be used: each point of the curve is checked."""
_COORDINATE = 32
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=(\d{1,9})(?:$|[\s,;])")
_RETRY = 1.0
_SHORTEST_AGE, _LONGEST_AGE, _DEFAULT_AGE = 10.0, 86_400.0, 300.0
_TIMEOUT, _LONGEST_FETCH = httpx.Timeout(5.0, connect=2.0), 10.0
_HEADERS = {
    "Accept": "application/jwk-set+json, application/json",
    "Accept-Encoding": "identity",  # so that what is read is as long as what comes out of it
}


class _Jwk(msgspec.Struct, frozen=True):
    """The members of a JWK that are read (RFC 7517, section 4; RFC 7518, section 6.2.1)."""

    kty: str
    kid: str = ""
    crv: str = ""
    x: str = ""
    y: str = ""
    use: str = "sig"
    alg: str = "ES256"


class _JwkSet(msgspec.Struct, frozen=True):
    keys: list[msgspec.Raw]


class KeysUnavailable(Exception):
    """The issuer did not answer with a set of keys. Says why, without quoting it."""


class JwkSet:
    """The issuer's keys as they were last fetched. Use `start` first, `aclose` last."""

    def __init__(
        self,
        url: str,
        on_change: Callable[[Keys], None],
        floor: float,
        counters: GuardCounters,
        proxy: str = "",
    ) -> None:
        """Fetch nothing yet. `floor`: least seconds between two fetches. `on_change` gets new sets.

        Neither proxies nor passwords (`.netrc`) of the environment are used: they were meant for
        other peers. Its certificates are. No cookie is kept: too many have each fetch refused.
        """
        self._url = url
        self._on_change = on_change
        self._floor = floor
        self._counters = counters
        self._http = httpx.AsyncClient(
            timeout=_TIMEOUT,
            follow_redirects=False,
            trust_env=False,
            proxy=proxy or None,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            verify=httpx.create_ssl_context(trust_env=True),  # SSL_CERT_FILE, SSL_CERT_DIR
        )
        self._kids: dict[str, EllipticCurvePublicNumbers] = {}
        self._max_age = _DEFAULT_AGE
        self._tried_at = float("-inf")
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None
        self._keeping_fresh: asyncio.Task[None] | None = None

    @property
    def sure(self) -> bool:
        """Whether the last fetch has succeeded, so that a key that is not there is unknown."""
        return bool(self._kids) and not self._failed

    async def start(self, patience: float = _LONGEST_FETCH) -> None:
        """Fetch for the first time, and from now on before the set gets old. Never raises.

        `patience`: seconds that it waits for the first fetch, which goes on anyway.
        """
        self._keeping_fresh = asyncio.create_task(self._keep_fresh())
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self.look_again()

    async def look_again(self) -> None:
        """Fetch now, unless that was done a moment ago. All who ask meanwhile share one fetch."""
        if self._fetching is None:
            if time.monotonic() - self._tried_at < self._floor:
                return
            self._tried_at = time.monotonic()
            self._fetching = asyncio.create_task(self._fetch())
        await asyncio.shield(self._fetching)

    async def aclose(self) -> None:
        """Stop fetching."""
        tasks = [task for task in (self._keeping_fresh, self._fetching) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._http.aclose()

    async def _keep_fresh(self) -> None:
        """Fetch once four fifths of the set's age are over; after a failure, in `floor` seconds."""
        while True:
            try:
                await self._wait_and_fetch()
            except Exception:  # a defect must not end it: a withdrawn key would be trusted on
                logger.exception("the issuer's keys could not be looked after")
                await asyncio.sleep(_RETRY)

    async def _wait_and_fetch(self) -> None:
        while True:
            if self._fetching is not None:
                await self.look_again()
            age = max(_RETRY if self._failed else self._max_age * 0.8, self._floor)
            left = self._tried_at + age - time.monotonic()
            if left > 0:
                await asyncio.sleep(left)
            else:
                await self.look_again()

    async def _fetch(self) -> None:
        self._counters.key_fetches += 1
        try:
            keys, self._max_age = await self._get()
        except Exception as error:  # whatever was sent, the next fetch must come
            self._counters.key_failures += 1
            if not self._failed:
                logger.warning("the issuer's keys cannot be fetched: %s", _reason(error))
            self._failed = True
            return
        finally:
            self._fetching = None
        if self._failed:
            logger.warning("the issuer's keys can be fetched again")
        self._failed = False
        kids = {kid: key.public_numbers() for kid, key in keys.items()}
        if kids != self._kids:
            self._kids = kids
            self._on_change(keys)

    async def _get(self) -> tuple[Keys, float]:
        """Fetch the keys, and for how many seconds they may be kept."""
        async with (
            asyncio.timeout(_LONGEST_FETCH),
            self._http.stream("GET", self._url, headers=_HEADERS) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                raise KeysUnavailable(f"status {answer.status_code}")
            if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise KeysUnavailable("a compressed answer, which was not asked for")
            body = b""
            async for chunk in answer.aiter_raw():
                body += chunk
                if len(body) > _LARGEST_SET:
                    raise KeysUnavailable("too long an answer")
        keys = parse(body)
        if not keys:
            raise KeysUnavailable("no key that could be used")
        return keys, max_age(answer.headers.get("Cache-Control", ""))


def parse(body: bytes) -> dict[str, EllipticCurvePublicKey]:
    """Read the keys of a JWK set that can verify ES256, passing over others (RFC 7517, section 5).

    Raises:
        KeysUnavailable: it is no JWK set.
    """
    try:
        entries = msgspec.json.decode(body, type=_JwkSet).keys
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise KeysUnavailable("no JWK set") from None
    keys: dict[str, EllipticCurvePublicKey] = {}
    ambiguous = set()
    for raw in entries:
        found = _read(raw)
        if found is None:
            continue
        kid, key = found
        if kid in keys and keys[kid].public_numbers() != key.public_numbers():
            ambiguous.add(kid)  # which of them was meant nobody can say
        keys[kid] = key
        if len(keys) > _MOST_KEYS:
            raise KeysUnavailable("too many keys")
    return {kid: key for kid, key in keys.items() if kid not in ambiguous}


def _read(raw: msgspec.Raw) -> tuple[str, EllipticCurvePublicKey] | None:
    """Read a key and its name, if it is one that could be used."""
    try:
        jwk = msgspec.json.decode(raw, type=_Jwk)
        return (jwk.kid, _public_key(jwk)) if _usable(jwk) else None
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def max_age(cache_control: str) -> float:
    """Read for how many seconds to keep an answer (RFC 9111, section 5.2.2.1), within reason."""
    found = _MAX_AGE.search(cache_control.lower())
    age = float(found[1]) if found else _DEFAULT_AGE
    return min(max(age, _SHORTEST_AGE), _LONGEST_AGE)


def _usable(jwk: _Jwk) -> bool:
    return (jwk.kty, jwk.crv, jwk.use, jwk.alg) == ("EC", "P-256", "sig", "ES256") and bool(jwk.kid)


def _public_key(jwk: _Jwk) -> EllipticCurvePublicKey:
    """Make the key. Raises ValueError: not 32 bytes each, or not a point of the curve."""
    x, y = decode(jwk.x.encode()), decode(jwk.y.encode())
    if len(x) != _COORDINATE or len(y) != _COORDINATE:
        raise ValueError("a coordinate of P-256 has 32 bytes")
    point = (int.from_bytes(x), int.from_bytes(y))
    return EllipticCurvePublicNumbers(*point, SECP256R1()).public_key()


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, KeysUnavailable) else type(error).__name__
