"""One request to one pod, and the note of it in the history."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from service.redis.keys import BUCKETS
from tools.chaos.history import History, Kind, Operation, Outcome, fingerprint
from tools.http_load.connection import ConnectionPool, Endpoint, LostError, UnsentError
from tools.http_load.requests import ROUTES, request
from tools.testbed.service_process import claims_of

PATIENCE = 3.0
"""Seconds that a client waits. The service promises an answer within two while Redis is gone."""

_HEALTH_PATIENCE = 10.0
"""The same of who asks how a pod is: what is slow for want of a processor has not failed."""


class Device(msgspec.Struct):
    """The tokens of one session, as a client keeps them."""

    session: str
    access: str
    refresh: str
    spent: str = ""
    """The refresh token before."""


class Answer(msgspec.Struct, frozen=True):
    """What became of a request, and the body that was answered."""

    outcome: Outcome
    code: str
    body: Mapping[str, Any]

    @property
    def is_ok(self) -> bool:
        return self.outcome == "ok"

    @property
    def is_open(self) -> bool:
        """Whether it is worth asking again, because nothing is known."""
        return self.outcome in ("unknown", "unsent")

    def device(self) -> Device:
        """Take the session that it opens."""
        body = self.body
        return Device(body["sessionId"], body["accessToken"], body["refreshToken"])


class Requests:
    """Sends requests to pods by their number, and writes everything down."""

    def __init__(self, history: History, url_of: Callable[[int], str], pods: int) -> None:
        self.pods = pods
        self.history = history
        self._url_of = url_of
        self._began = time.monotonic()
        self._sent = 0
        self._open: dict[int, Operation] = {}
        self._pools: dict[tuple[str, float], ConnectionPool] = {}

    def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            pool.close()

    def now(self) -> float:
        """Count the seconds since the run began."""
        return time.monotonic() - self._began

    def so_far(self) -> History:
        """Give the history, with what is still under way: of that, nothing is known yet."""
        now = self.now()
        under_way = [msgspec.structs.replace(each, ended=now) for each in self._open.values()]
        faults, redone = list(self.history.faults), list(self.history.redone)
        return History([*self.history.operations, *under_way], faults, redone)

    def began_at(self) -> float:
        """Return when the run began, in seconds since 1970."""
        return time.time() - self.now()

    async def send(
        self,
        kind: Kind,
        person: str,
        pod: int,
        body: Mapping[str, Any] | None = None,
        *,
        by: Device | None = None,
        **known: Any,
    ) -> Answer:
        """Send it once, with the access token of `by`. `known` are facts for the history."""
        known |= {"caller": by.session} if by else {}

        async def ask(begun: Operation) -> tuple[int, Answer]:
            return await self._ask(begun, body, by)

        return await self.record(kind, person, pod, ask, **known)

    async def record(
        self,
        kind: Kind,
        person: str,
        pod: int,
        ask: Callable[[Operation], Awaitable[tuple[int, Answer]]],
        **known: Any,
    ) -> Answer:
        """Write down what is asked for, have it asked, and write down what was answered."""
        self._sent += 1
        number, started = self._sent, self.now()
        begun = Operation(
            number=number, kind=kind, person=person, pod=pod, started=started, ended=started,
            outcome="unknown", **known,
        )  # fmt: skip
        self._open[number] = begun
        asked_at = time.time()
        status, answer = await ask(begun)
        del self._open[number]
        learnt = {"ended": self.now(), "outcome": answer.outcome, "code": answer.code}
        if answer.is_ok:
            learnt |= _facts(kind, answer.body) | _minted(answer.body, asked_at, time.time())
        operation = msgspec.structs.replace(begun, status=status, **learnt)
        self.history.operations.append(operation)
        return answer

    async def _ask(
        self, asked: Operation, body: Mapping[str, Any] | None, by: Device | None
    ) -> tuple[int, Answer]:
        """Send it, and give the status, 0 without an answer."""
        method, path, _ = ROUTES[asked.kind]
        url = self._url_of(asked.pod)
        patience = _HEALTH_PATIENCE if asked.kind in ("live", "ready") else PATIENCE
        access = by.access if by else ""
        path = path.format(session=asked.session)
        written = request(method, path, urlsplit(url).netloc, body, access)
        try:
            response = await self._pool(url, patience).exchange(written)
        except UnsentError as error:
            return 0, Answer("unsent", str(error), {})
        except LostError as error:
            return 0, Answer("unknown", str(error), {})
        try:
            answered = msgspec.json.decode(response.body) if response.body else {}
        except msgspec.DecodeError:
            answered = {}
        outcome, code = _judge(asked.kind, response.status, answered)
        return response.status, Answer(outcome, code, answered)

    def _pool(self, url: str, patience: float) -> ConnectionPool:
        """Find the connections to a pod. One that starts again has another port, so others."""
        pool = self._pools.get((url, patience))
        if pool is None:
            host, _, port = urlsplit(url).netloc.partition(":")
            pool = self._pools[url, patience] = ConnectionPool(Endpoint(host, int(port)), patience)
        return pool


def _judge(kind: Kind, status: int, body: Mapping[str, Any]) -> tuple[Outcome, str]:
    if status == ROUTES[kind][2] or (kind == "login" and status == 202):
        return "ok", ""
    if kind == "ready" and status == 503:
        return "refused", "not_ready"
    code = body.get("error", {}).get("code", "not the contract's")
    return "unknown" if status >= 500 else "refused", code


def _facts(kind: Kind, body: Mapping[str, Any]) -> dict[str, Any]:
    """Read what an answer tells, by the names of `Operation`."""
    if kind == "me":
        user = body["user"]
        shows = "on" if user["twoFA"]["enabled"] else "off"
        return {"whose": user["email"], "which": body["session"]["id"], "shows": shows}
    if kind == "enable":
        return {"secret": body["tempSecretId"]}
    if kind == "verify":
        return {"codes": tuple(fingerprint(code) for code in body["recoveryCodes"])}
    if "challengeId" in body:
        return {"challenge": fingerprint(body["challengeId"])}
    if "refreshToken" not in body:
        return {}
    facts = {"received": fingerprint(body["refreshToken"])}
    if kind in ("refresh", "reauthenticate"):
        return facts | {"which": body["sessionId"]}
    return facts | {"session": body["sessionId"], "whose": body["user"]["email"]}


def _minted(body: Mapping[str, Any], asked: float, answered: float) -> dict[str, Any]:
    """Read what the access token in an answer says, against our clock: that is the right one."""
    if "accessToken" not in body:
        return {}
    claims = claims_of(body["accessToken"])
    issued = claims["iat"]  # in whole seconds, rounded down
    off = max(issued - answered, 0.0) + min(issued + 1 - asked, 0.0)
    life = claims["exp"] - issued
    bucket = int(claims["sub"][:2], 16) % BUCKETS
    return {
        "life": life, "expires_in": body["expiresIn"], "off": round(off, 3), "bucket": bucket,
    }  # fmt: skip
