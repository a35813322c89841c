"""A mail server in this process, and an outbox on the shared Redis."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from tools.testbed.parts import PATIENTLY
from tools.testbed.redis_server import RedisServer
from tools.testbed.waiting import eventually

from service.clock import system_clock
from service.keyring.envelope import Keyring
from service.mail import mail_url
from service.mail.composing import Composer
from service.mail.links import links_of
from service.mail.outbox import Outbox
from service.mail.sender import Sender
from service.mail.templates import Templates
from service.mail.transports import open_transport
from service.redis.client import RedisClient


class Server:
    """A server that takes mails, or says what it was told to say to the next ones."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.replies: list[str] = []
        self.refuses_sender = False
        self.names: list[str] = []
        self.encrypted: list[bool] = []
        self.logins: list[tuple[bytes, bytes]] = []
        self.before_reply: Callable[[], Any] = lambda: None
        self.port = 0

    async def handle_MAIL(  # noqa: N802  aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.names.append(session.host_name or "")
        if self.refuses_sender:
            return "530 log in first"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802  aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = self.replies.pop(0) if self.replies else "250 OK"
        if reply == "cut":
            self.replies.insert(0, "cut")
            reply = "250 OK"
        if reply.startswith("2"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(  # noqa: N802  aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        content = envelope.original_content or b""
        parsed = message_from_bytes(content, policy=policy.SMTP)
        assert isinstance(parsed, EmailMessage)
        self.mails.append(parsed)
        self.recipients += envelope.rcpt_tos
        self.encrypted.append(session.ssl is not None)
        if self.replies and self.replies[0] == "cut":
            self.replies.pop(0)
            assert server.transport is not None
            server.transport.close()
            return "250 nobody hears it"
        waited = self.before_reply()
        if waited is not None:
            await waited
        return "250 OK"

    def log_in(
        self, server: SMTP, session: Session, envelope: Envelope, kind: str, data: Any
    ) -> AuthResult:
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"p@ss:w/rd", handled=False)

    def text(self, index: int = -1) -> str:
        """The plain text of a mail."""
        part = self.mails[index].get_body(("plain",))
        assert part is not None
        return str(part.get_content())


@asynccontextmanager
async def serving(
    server: Server, *, tls: ssl.SSLContext | None = None, port: int = 0, **options: Any
) -> AsyncIterator[Server]:
    """A server that listens. `tls`: it offers STARTTLS."""
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(
        lambda: SMTP(
            server, tls_context=tls, loop=loop, enable_SMTPUTF8=True, ident="test", **options
        ),
        "127.0.0.1",
        port,
    )
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def certificate(authority: trustme.CA) -> ssl.SSLContext:
    """What a server at 127.0.0.1 proves who it is with."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(scope="session")
def templates() -> Templates:
    return Templates()


class Post:
    """An outbox on one Redis, and as many senders as a test asks for."""

    def __init__(self, redis: RedisClient, templates: Templates) -> None:
        self.redis = redis
        self.keyring = Keyring({1: bytes(32)})
        self.outbox = Outbox(redis, self.keyring, 64_000)
        self.templates = templates
        self.outcomes: list[tuple[str, str]] = []
        self.outbox.count = lambda kind, outcome: self.outcomes.append((kind, outcome))

    def composer(self) -> Composer:
        links = links_of("https://id.example/")
        return Composer(self.templates, links, "Open Show & Söhne", "no-reply@id.example", "en")

    def sender(self, url: str) -> Sender:
        parsed = mail_url.parse(url)
        return Sender(
            self.redis,
            self.keyring,
            self.composer(),
            self.outbox,
            lambda: open_transport(parsed, self.composer().domain),
            system_clock,
        )

    @asynccontextmanager
    async def sending(self, url: str, count: int = 1) -> AsyncIterator[list[Sender]]:
        """So many senders, which run as long as the block."""
        senders = [self.sender(url) for _ in range(count)]
        tasks = [asyncio.create_task(sender.run()) for sender in senders]
        try:
            yield senders
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def post(keys: RedisServer, templates: Templates) -> AsyncIterator[Post]:
    redis = RedisClient(keys.url, timing=PATIENTLY)
    yield Post(redis, templates)
    await redis.aclose()


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is so."""

    async def is_so() -> object:
        return condition()

    await eventually(is_so)
