"""The calls of the service: requests as bytes, answers as outcomes, each recorded."""

import time

import msgspec

from tools.http_load.connection import Answer, ConnectionPool, LostError
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
_write = msgspec.json.Encoder().encode


class Calls:
    """Sends one request at a time for whoever asks. `due` is when it should have been sent."""

    def __init__(
        self,
        connections: ConnectionPool,
        target: Target,
        shed: frozenset[str] = frozenset(),
    ) -> None:
        self.record = Record(time.perf_counter())
        """Where outcomes are noted; each run has its own."""
        self._exchange = connections.exchange
        self._host = f"Host: {target.host_header}\r\n".encode()
        self.shed = shed

    async def me(self, user: VirtualUser, due: float) -> bool:
        """Whether the session lives."""
        request = b"GET /auth/me HTTP/1.1\r\n%bAuthorization: Bearer %b\r\n\r\n" % (
            self._host, user.access_token.encode(),
        )  # fmt: skip
        return await self._send("me", user, request, 200, due) is not None

    async def refresh(self, user: VirtualUser, due: float) -> bool:
        """Whether the user has new tokens."""
        body = b'{"refreshToken":"%b"}' % user.refresh_token.encode()
        answer = await self._send("refresh", user, self._post(b"/auth/refresh", body), 200, due)
        if answer is not None:
            hold(user, answer)
        return answer is not None

    async def logout(self, user: VirtualUser, due: float) -> bool:
        """Whether the session has ended."""
        body = b'{"refreshToken":"%b"}' % user.refresh_token.encode()
        request = self._post(b"/auth/logout", body, user)
        return await self._send("logout", user, request, 204, due) is not None

    async def log_in(self, user: VirtualUser, due: float) -> VirtualUser | None:
        """The same user in another session."""
        account = user.account
        body = _write({"email": account.email, "password": account.password})
        answer = await self._send("login", user, self._post(b"/auth/login", body), 200, due)
        if answer is None:
            return None
        other = VirtualUser(account, "", "", 0)
        hold(other, answer)
        return other

    async def enable(self, user: VirtualUser, due: float) -> Enrolment | None:
        """The secret to enrol with."""
        answer = await self._send(
            "enable", user, self._post(b"/auth/2fa/enable", b"", user), 200, due
        )
        return None if answer is None else msgspec.json.decode(answer.body, type=Enrolment)

    async def verify(self, user: VirtualUser, secret_id: str, code: str, due: float) -> bool:
        """Whether the second factor is on."""
        body = _write({"tempSecretId": secret_id, "code": code})
        request = self._post(b"/auth/2fa/verify", body, user)
        return await self._send("verify", user, request, 200, due) is not None

    async def disable(self, user: VirtualUser, code: str, due: float) -> bool:
        """Whether it is off."""
        request = self._post(b"/auth/2fa/disable", _write({"code": code}), user)
        return await self._send("disable", user, request, 204, due) is not None

    async def sign_up(self, email: str, password: str) -> Answer:
        """The whole answer, reported to nobody. Raises LostError."""
        return await self._exchange(
            self._post(b"/auth/signup", _write({"email": email, "password": password}))
        )

    def _post(self, path: bytes, body: bytes, user: VirtualUser | None = None) -> bytes:
        bearer = b""
        if user is not None:
            bearer = b"Authorization: Bearer %b\r\n" % user.access_token.encode()
        return (
            b"POST %b HTTP/1.1\r\n%b%bContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (path, self._host, bearer, len(body), body)
        )

    async def _send(
        self, name: str, user: VirtualUser, request: bytes, status: int, due: float
    ) -> Answer | None:
        """The answer, if it has this status."""
        try:
            answer = await self._exchange(request)
            outcome = "" if answer.status == status else self._judge(name, answer)
            user.over |= answer.status == 401
        except LostError as error:
            outcome = str(error)
            # Its token may be spent. To come back with it could count as theft.
            user.over |= name in ("refresh", "logout")
        self.record.note(name, due, time.perf_counter() - due, outcome)
        return None if outcome else answer

    def _judge(self, name: str, answer: Answer) -> str:
        if name in self.shed and answer.asks_to_retry:
            return SHED
        return refusal(answer)


def refusal(answer: Answer) -> str:
    """Status and error code, such as `401 unauthorized`; never more of the body."""
    try:
        code = _read_refusal(answer.body).error.code
    except msgspec.MsgspecError:
        code = ""
    known = code.replace("_", "").isalnum() and len(code) <= 40
    return f"{answer.status} {code}" if known else f"{answer.status}"


def hold(user: VirtualUser, answer: Answer) -> None:
    """Give the user the token pair of this answer."""
    pair = _read_pair(answer.body)
    user.access_token, user.refresh_token = pair.access_token, pair.refresh_token
    user.expires_at = time.time() + pair.expires_in
