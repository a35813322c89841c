"""The calls of the service: requests as bytes, answers as outcomes, each reported to locust."""

import time
from collections.abc import Callable

import msgspec
from locust.env import Environment

from traffic.people import Person
from traffic.record import SHED, Context
from traffic.target import Target
from traffic.wire import Answer, Connections, LostError


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
        environment: Environment,
        connections: Connections,
        target: Target,
        shed: frozenset[str] = frozenset(),
    ) -> None:
        self._fire: Callable[..., None] = environment.events.request.fire
        self._exchange = connections.exchange
        self._host = f"Host: {target.host_header}\r\n".encode()
        self.shed = shed

    def me(self, person: Person, due: float) -> bool:
        """Whether the session lives."""
        request = b"GET /auth/me HTTP/1.1\r\n%bAuthorization: Bearer %b\r\n\r\n" % (
            self._host, person.access_token.encode(),
        )  # fmt: skip
        return self._send("me", person, request, 200, due) is not None

    def refresh(self, person: Person, due: float) -> bool:
        """Whether the person has new tokens."""
        body = b'{"refreshToken":"%b"}' % person.refresh_token.encode()
        answer = self._send("refresh", person, self._post(b"/auth/refresh", body), 200, due)
        if answer is not None:
            hold(person, answer)
        return answer is not None

    def logout(self, person: Person, due: float) -> bool:
        """Whether the session has ended."""
        body = b'{"refreshToken":"%b"}' % person.refresh_token.encode()
        request = self._post(b"/auth/logout", body, person)
        return self._send("logout", person, request, 204, due) is not None

    def log_in(self, person: Person, due: float) -> Person | None:
        """The same user in another session."""
        account = person.account
        body = _write({"email": account.email, "password": account.password})
        answer = self._send("login", person, self._post(b"/auth/login", body), 200, due)
        if answer is None:
            return None
        other = Person(account, "", "", 0)
        hold(other, answer)
        return other

    def enable(self, person: Person, due: float) -> Enrolment | None:
        """The secret to enrol with."""
        answer = self._send(
            "enable", person, self._post(b"/auth/2fa/enable", b"", person), 200, due
        )
        return None if answer is None else msgspec.json.decode(answer.body, type=Enrolment)

    def verify(self, person: Person, secret_id: str, code: str, due: float) -> bool:
        """Whether the second factor is on."""
        body = _write({"tempSecretId": secret_id, "code": code})
        request = self._post(b"/auth/2fa/verify", body, person)
        return self._send("verify", person, request, 200, due) is not None

    def disable(self, person: Person, code: str, due: float) -> bool:
        """Whether it is off."""
        request = self._post(b"/auth/2fa/disable", _write({"code": code}), person)
        return self._send("disable", person, request, 204, due) is not None

    def sign_up(self, email: str, password: str) -> Answer:
        """The whole answer, reported to nobody. Raises LostError."""
        return self._exchange(
            self._post(b"/auth/signup", _write({"email": email, "password": password}))
        )

    def _post(self, path: bytes, body: bytes, person: Person | None = None) -> bytes:
        bearer = b""
        if person is not None:
            bearer = b"Authorization: Bearer %b\r\n" % person.access_token.encode()
        return (
            b"POST %b HTTP/1.1\r\n%b%bContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (path, self._host, bearer, len(body), body)
        )

    def _send(
        self, name: str, person: Person, request: bytes, status: int, due: float
    ) -> Answer | None:
        """The answer, if it has this status."""
        size = 0
        try:
            answer = self._exchange(request)
            size = len(answer.body)
            outcome = "" if answer.status == status else self._judge(name, answer)
            person.over |= answer.status == 401
        except LostError as error:
            outcome = str(error)
            # Its token may be spent. To come back with it could count as theft.
            person.over |= name in ("refresh", "logout")
        now = time.perf_counter()
        self._fire(
            request_type="GET" if request.startswith(b"GET") else "POST",
            name=name,
            response_time=(now - due) * 1000,
            response_length=size,
            exception=outcome if outcome not in ("", SHED) else None,
            context=Context(due, outcome),
        )
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


def hold(person: Person, answer: Answer) -> None:
    """Give the person the token pair of this answer."""
    pair = _read_pair(answer.body)
    person.access_token, person.refresh_token = pair.access_token, pair.refresh_token
    person.expires_at = time.time() + pair.expires_in
