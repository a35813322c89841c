"""People with a phone: an authenticator app (pyotp), and the calls of the second factor."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pyotp
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD, Person


class Phone:
    """An authenticator app that has scanned a QR code."""

    def __init__(self, otpauth_url: str) -> None:
        self.totp = pyotp.parse_uri(otpauth_url)

    def code(self, ahead: int = 0, at: datetime | None = None) -> str:
        """What it shows now, or so many steps ahead; 0 and 1 stay good for another 30 s."""
        moment = (at or datetime.now(UTC)) + ahead * timedelta(seconds=30)
        return str(self.totp.at(moment))

    def wrong(self) -> str:
        """Six digits that it does not show anywhere near now."""
        near = {self.code(ahead) for ahead in range(-5, 6)}
        return next(code for code in iter(_six_digits, None) if code not in near)


def _six_digits() -> str:
    return f"{secrets.randbelow(1_000_000):06}"


class Holder(Person):
    """Somebody with a phone. Codes that are not given are the ones that it shows."""

    phone: Phone
    temp_secret_id: str
    recovery_codes: list[str]

    async def enable(self) -> httpx.Response:
        return await self.client.post("/auth/2fa/enable", headers=self.bearer)

    async def begin(self) -> dict[str, Any]:
        """Enable, and scan. The whole answer."""
        answer = await self.enable()
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        self.scan(body)
        return body

    def scan(self, begun: dict[str, Any]) -> None:
        """Set the phone up with what enable has answered."""
        self.phone = Phone(begun["otpauthUrl"])
        self.temp_secret_id = begun["tempSecretId"]

    async def verify(
        self, code: object = None, temp_secret_id: object = None, client: Any = None
    ) -> httpx.Response:
        body = {
            "tempSecretId": self.temp_secret_id if temp_secret_id is None else temp_secret_id,
            "code": self.phone.code() if code is None else code,
        }
        client = client or self.client
        answer: httpx.Response = await client.post(
            "/auth/2fa/verify", json=body, headers=self.bearer
        )
        return answer

    async def enrol(self) -> "Holder":
        """Enable and verify with the code of now; the next that is good is `phone.code(1)`."""
        await self.begin()
        answer = await self.verify()
        assert answer.status_code == 200, answer.text
        self.recovery_codes = answer.json()["recoveryCodes"]
        return self

    async def password(self, client: Any = None) -> httpx.Response:
        """The first step of a login."""
        body = {"email": self.email, "password": PASSWORD}
        answer: httpx.Response = await (client or self.client).post("/auth/login", json=body)
        return answer

    async def challenge(self) -> str:
        """The id of a new challenge."""
        answer = await self.password()
        assert answer.status_code == 202, answer.text
        return str(answer.json()["challengeId"])

    async def answer(
        self, challenge_id: object, code: object, client: Any = None, **headers: str
    ) -> httpx.Response:
        """The second step of a login."""
        body = {"challengeId": challenge_id, "code": code}
        answer: httpx.Response = await (client or self.client).post(
            "/auth/login/2fa", json=body, headers=headers
        )
        return answer

    async def disable(self, code: object, client: Any = None) -> httpx.Response:
        return await self._with_code("disable", code, client)

    async def renew(self, code: object, client: Any = None) -> httpx.Response:
        return await self._with_code("recovery-codes", code, client)

    async def two_fa(self, client: Any = None) -> tuple[bool, int]:
        """Whether it is on, and how many recovery codes are left, as GET /auth/me says."""
        answer = await (client or self.client).get("/auth/me", headers=self.bearer)
        assert answer.status_code == 200, answer.text
        two_fa = answer.json()["user"]["twoFA"]
        return two_fa["enabled"], two_fa["recoveryCodesLeft"]

    async def _with_code(self, call: str, code: object, client: Any) -> httpx.Response:
        answer: httpx.Response = await (client or self.client).post(
            f"/auth/2fa/{call}", json={"code": code}, headers=self.bearer
        )
        return answer


async def new_holder(client: httpx.AsyncClient, email: str | None = None) -> Holder:
    """Somebody who has just signed up, and whose phone has scanned nothing yet."""
    email = email or f"{secrets.token_hex(8)}@example.com"
    answer = await client.post("/auth/signup", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 201, answer.text
    return Holder(client, email, answer.json())


def let_steps_pass(server: RedisServer) -> None:
    """Forget which steps were accepted, as if each secret's last code was long ago."""
    with server.client() as client:
        for key in client.scan_iter(match="totp:*", count=1000):
            client.delete(key)


async def brief_enrolled(holder: Holder) -> bool:
    """Whether 2FA is on, tried in the short life of an enrolment: a busy machine may miss it."""
    await holder.begin()
    return (await holder.verify()).status_code == 200
