"""The calls of the service: requests as bytes, answers as outcomes, each recorded."""

import time

import msgspec

from tools.http_load.connection import Answer, ConnectionPool, LostError
from tools.http_load.requests import ROUTES, request
from tools.load.record import SHED, Record
from tools.load.target import Target
from tools.load.virtual_users import VirtualUser


class TokenPair(msgspec.Struct, rename="camel"):
    """What signing up, logging in and refreshing answer with, as far as it is used."""

    access_token: str
    refresh_token: str
    expires_in: float


class Enrolment(msgspec.Struct, rename="camel"):
    """What `enable` answers with, as far as it is used."""

    temp_secret_id: str
    otpauth_url: str


class _Fault(msgspec.Struct):
    code: str


class _Refusal(msgspec.Struct):
    error: _Fault


_read_pair = msgspec.json.Decoder(TokenPair).decode
_read_refusal = msgspec.json.Decoder(_Refusal).decode

_UNSIGNED = ("refresh", "login")


class Calls:
    """Sends one request at a time for whoever asks. `due` is when it should have been sent."""

    def __init__(
        self, connections: ConnectionPool, target: Target, shed: frozenset[str] = frozenset()
    ) -> None:
        self.record = Record(time.perf_counter())
        """Where outcomes are noted; each run has its own."""
        self._exchange = connections.exchange
        self._host = target.host_header
        self._shed = shed

    async def me(self, user: VirtualUser, due: float) -> bool:
        """Whether the session lives."""
        return await self._send("me", user, due) is not None

    async def refresh(self, user: VirtualUser, due: float) -> bool:
        """Whether the user has new tokens."""
        answer = await self._send("refresh", user, due, refreshToken=user.refresh_token)
        if answer is not None:
            hold(user, answer)
        return answer is not None

    async def logout(self, user: VirtualUser, due: float) -> bool:
        """Whether the session has ended."""
        return await self._send("logout", user, due, refreshToken=user.refresh_token) is not None

    async def log_in(self, user: VirtualUser, due: float) -> VirtualUser | None:
        """Open another session of the same user."""
        email, password = user.account.email, user.account.password
        answer = await self._send("login", user, due, email=email, password=password)
        return None if answer is None else hold(VirtualUser(user.account), answer)

    async def enable(self, user: VirtualUser, due: float) -> Enrolment | None:
        """Ask for the secret to enrol with."""
        answer = await self._send("enable", user, due)
        return None if answer is None else msgspec.json.decode(answer.body, type=Enrolment)

    async def verify(self, user: VirtualUser, secret_id: str, code: str, due: float) -> bool:
        """Whether the second factor is on."""
        answer = await self._send("verify", user, due, tempSecretId=secret_id, code=code)
        return answer is not None

    async def disable(self, user: VirtualUser, code: str, due: float) -> bool:
        """Whether it is off."""
        return await self._send("disable", user, due, code=code) is not None

    async def sign_up(self, email: str, password: str) -> Answer:
        """Give the whole answer, reported to nobody. Raises LostError."""
        body, (method, path, _) = {"email": email, "password": password}, ROUTES["signup"]
        return await self._exchange(request(method, path, self._host, body))

    async def _send(self, name: str, user: VirtualUser, due: float, **body: str) -> Answer | None:
        """Give the answer, if it is that of success."""
        method, path, status = ROUTES[name]
        token = "" if name in _UNSIGNED else user.access_token
        try:
            sent = request(method, path, self._host, body or None, token)
            answer = await self._exchange(sent)
            outcome = "" if answer.status == status else self._judge(name, answer)
            user.over |= answer.status == 401
        except LostError as error:
            outcome = str(error)
            # Its token may be spent. To come back with it could count as theft.
            user.over |= name in ("refresh", "logout")
        self.record.note(name, due, time.perf_counter() - due, outcome)
        return None if outcome else answer

    def _judge(self, name: str, answer: Answer) -> str:
        return SHED if name in self._shed and answer.asks_to_retry else refusal(answer)


def refusal(answer: Answer) -> str:
    """Name status and error code, such as `401 unauthorized`; never more of the body."""
    try:
        code = _read_refusal(answer.body).error.code
    except msgspec.MsgspecError:
        code = ""
    known = code.replace("_", "").isalnum() and len(code) <= 40
    return f"{answer.status} {code}" if known else f"{answer.status}"


def hold(user: VirtualUser, answer: Answer) -> VirtualUser:
    """Give the user the token pair of this answer."""
    pair = _read_pair(answer.body)
    user.access_token, user.refresh_token = pair.access_token, pair.refresh_token
    user.expires_at = time.time() + pair.expires_in
    return user
