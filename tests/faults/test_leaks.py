"""What lies on the disk and in memory after a run holds no secret, and no e-mail but the users'."""

import base64
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import msgspec
import pyotp
from redis import Redis
from tools.testbed.service_process import Person

from service.twofactor import recovery_codes
from tests.faults.conftest import Stage
from tests.support.two_factor import new_holder

PASSWORDS = ("opaque raspberry 7421", "ripe quince 98 läuft")
AGENT = "leak-scan/1.0"


class Secrets(msgspec.Struct):
    """All that clients sent or were given."""

    tokens: set[str] = msgspec.field(default_factory=set)
    factors: set[str] = msgspec.field(default_factory=set)
    emails: set[str] = msgspec.field(default_factory=set)

    def took(self, answer: httpx.Response) -> httpx.Response:
        """Remember the tokens in an answer."""
        body = answer.json() if answer.content else {}
        self.tokens |= {body[name] for name in ("accessToken", "refreshToken") if name in body}
        return answer


async def use_everything(http: httpx.AsyncClient, secrets: Secrets) -> None:
    """Every route, in right and wrong ways, and each way for a session to end."""
    for number, password in enumerate(PASSWORDS):
        email = f"Leak.Scan.{number}@Example.ORG"
        secrets.emails |= {email, email.casefold()}
        credentials = {"email": email, "password": password}
        answer = secrets.took(await http.post("/auth/signup", json=credentials))
        assert answer.status_code == 201, answer.text
        person = Person(http, email, answer.json())
        assert (await http.post("/auth/signup", json=credentials)).status_code == 409
        wrong = credentials | {"password": PASSWORDS[number - 1]}
        assert (await http.post("/auth/login", json=wrong)).status_code == 401
        others = []
        for _ in range(4):
            answer = secrets.took(await http.post("/auth/login", json=credentials))
            others.append(person.holding(answer.json()))
        first = person.holding(secrets.took(await person.refresh()).json())
        assert secrets.took(await person.refresh()).status_code == 200
        second = first.holding(secrets.took(await first.refresh()).json())
        assert (await others[0].log_out(second.tokens["refreshToken"][:-1])).status_code == 400
        fresh = others[0].holding(secrets.took(await others[0].refresh()).json())
        secrets.took(await fresh.refresh())
        assert (await others[0].refresh()).status_code == 401, "reuse"
        await second.me()
        await second.sessions()
        assert (await second.end(others[1].session_id)).status_code == 204
        assert (await others[2].log_out()).status_code == 204
        await http.get("/auth/me?access_token=" + second.tokens["accessToken"])
        await http.get("/nowhere/" + second.tokens["refreshToken"])
        await http.post("/auth/refresh", content=b'{"refreshToken": ' + password.encode())
        assert (await second.log_out_everywhere(keepCurrent=True)).json() == {"revoked": 1}


async def use_the_second_factor(http: httpx.AsyncClient, secrets: Secrets) -> None:
    """Enrolment, logins, renewal and the end of it, with right and wrong codes of both kinds."""
    holder = await new_holder(http, "Leak.Scan.2fa@Example.ORG")
    secrets.emails |= {holder.email, holder.email.casefold()}
    begun = [await holder.begin(), await holder.begin()]
    secrets.factors |= {body["otpauthUrl"] for body in begun}
    secrets.factors |= {pyotp.parse_uri(body["otpauthUrl"]).secret for body in begun}
    await holder.verify(holder.phone.wrong())
    codes = (await holder.verify()).json()["recoveryCodes"]
    challenges = [await holder.challenge() for _ in range(4)]
    await holder.answer(challenges[0], holder.phone.wrong())
    await holder.answer(challenges[0], codes[0] + "0")
    await http.get(f"/nowhere/{challenges[3]}?code={codes[9]}")
    await http.post("/auth/login/2fa", content=b'{"code": "%b' % codes[8].encode())
    for answer in (
        await holder.answer(challenges[0], codes[0]),
        await holder.answer(challenges[1], codes[1].lower()),
        await holder.answer(challenges[2], holder.phone.code(1)),
    ):
        assert secrets.took(answer).status_code == 200, answer.text
    assert (await holder.renew(codes[2])).status_code == 400
    assert (await holder.disable(codes[2])).status_code == 204
    secrets.factors |= {*codes, *challenges}
    await holder.enrol()  # and stays on
    challenges = [await holder.challenge()]
    secrets.factors |= {*holder.recovery_codes, *challenges, holder.phone.totp.secret}


def spellings(secret: str) -> Iterator[bytes]:
    """A secret as it might lie around: as it is, in hex, in base64; a token's raw bytes too."""
    raws = [secret.encode()]
    if secret.startswith("osr_"):
        raw = base64.urlsafe_b64decode(secret.removeprefix("osr_"))
        raws += [secret.removeprefix("osr_").encode(), raw, raw[34:66], raw[66:]]
    elif secret.count(".") == 2:
        signature = secret.rpartition(".")[2]
        raws += [signature.encode(), base64.urlsafe_b64decode(signature + "==")]
    elif len(secret) == 19:  # a recovery code
        code = recovery_codes.read(secret)
        assert code
        raws += [secret.replace("-", "").encode(), secret.lower().encode(), code]
    elif len(secret) == 32:  # a TOTP secret
        raws.append(base64.b32decode(secret))
    elif len(secret) == 44:  # a challenge id
        raws.append(base64.urlsafe_b64decode(secret))
    for raw in raws:
        yield raw
        yield raw.hex().encode()
        yield raw.hex().upper().encode()
        for encode in (base64.b64encode, base64.urlsafe_b64encode, base64.b32encode):
            yield encode(raw).rstrip(b"=")


def everything_in(client: Redis) -> bytes:
    """Every key and every value, and what the slow log remembers of commands."""
    parts: list[object] = [client.slowlog_get(-1)]
    for key in client.scan_iter(count=1000):
        kind = client.type(key)
        read = {b"string": client.get, b"hash": client.hgetall, b"stream": client.xrange}.get(kind)
        parts += [key, read(key) if read else client.lrange(key, 0, -1)]
    return b"\0".join(_bytes_of(parts))


def _bytes_of(value: object) -> Iterator[bytes]:
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, dict):
        yield from _bytes_of([*value.items()])
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _bytes_of(part)
    elif isinstance(value, str):
        yield value.encode()


def outside_users(file: Path) -> bytes:
    """All rows of all tables but `users`."""
    with closing(sqlite3.connect(file)) as database:
        names = [row[0] for row in database.execute("SELECT name FROM sqlite_schema")]
        tables = database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        rows = [
            database.execute(f'SELECT * FROM "{name}"').fetchall()
            for (name,) in tables
            if name != "users"
        ]
    assert "users" in names
    return b"\0".join(_bytes_of(rows))


async def test_no_secret_lies_around(stage: Stage, http: httpx.AsyncClient) -> None:
    """Redis, its files, the database and the debug logs hold no token, no password; the e-mail
    addresses are in the users table and nowhere else."""
    secrets = Secrets()
    http.headers["User-Agent"] = AGENT
    http.headers["X-Request-Id"] = "leak-scan-request"
    with stage.redis.client() as client:
        client.config_set("slowlog-log-slower-than", 0)
        await use_everything(http, secrets)
        await use_the_second_factor(http, secrets)
        client.config_set("slowlog-log-slower-than", 10_000)
        redis = everything_in(client)
    top = stage.service.directory.parent
    files = {path: path.read_bytes() for path in top.rglob("*") if path.is_file()}
    database = next(path for path in files if path.read_bytes()[:6] == b"SQLite")
    tables = outside_users(database)
    log = b"".join(data for path, data in files.items() if path.name == "service.log")
    aof = b"".join(data for path, data in files.items() if "appendonlydir" in path.parts)
    sqlite = b"".join(data for path, data in files.items() if path.name.startswith(database.name))

    assert len(secrets.tokens) >= 30
    assert len(secrets.factors) >= 30
    assert b"leak-scan-request" in redis, "the scan sees Redis' values"
    assert b"leak-scan-request" in aof, "and its files"
    assert b"leak-scan-request" in log, "and the log"
    assert b"Leak.Scan.0@Example.ORG" in sqlite, "and the database"
    places = {"Redis": redis, **{str(path.relative_to(top)): data for path, data in files.items()}}
    for secret in (*secrets.tokens, *secrets.factors, *PASSWORDS):
        for spelling in spellings(secret):
            found = [name for name, data in places.items() if spelling in data]
            assert not found, f"a secret lies in {found}"
    for email in secrets.emails:
        for spelling in spellings(email):
            for name, data in {"Redis": redis, "AOF": aof, "log": log, "tables": tables}.items():
                assert spelling not in data, f"an e-mail address lies in {name}"
