"""What waits is sent: to a server of this process, which answers as servers do."""

import asyncio
import os
import ssl
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from tools.testbed.parts import CLIENT
from tools.testbed.ports import free_port
from tools.testbed.redis_server import RedisServer

from service.clock import system_clock
from service.errors import StoreUnavailable
from service.mail import mail_url, scripts, sender as sending, transports
from service.mail.composing import Composer, Mail
from service.mail.messages import Kind, Message, new_message
from service.mail.transports import NotSent, Refused, SmtpServer, open_transport
from service.redis.client import RedisClient
from service.redis.keys import BUCKETS, bucket, numbered
from tests.mail.conftest import Post, Server, serving, until
from tests.support.looking import ON_VALKEY, events

USER = os.urandom(16)


async def kept(
    post: Post, address: str = "ann@example.com", user_id: bytes = USER, *, kind: Kind = "test"
) -> None:
    """A message in the outbox."""
    message = new_message(kind, address, "", system_clock(), token="osm_secret")
    assert await post.outbox.post(user_id, message, CLIENT) is not None


async def waits(post: Post, user_id: bytes = USER) -> int:
    return int(await post.redis.execute("XLEN", bucket(user_id).mail))


def soon(monkeypatch: pytest.MonkeyPatch, first: int = 20) -> None:
    """Tries that follow each other quickly."""
    monkeypatch.setattr(sending, "_SWEEP", 0.05)
    monkeypatch.setattr(sending, "_LONGEST_PAUSE", 0.05)
    values = scripts.take_next._source._values
    for name in ("FIRST_WAIT", "LONGEST_WAIT"):
        monkeypatch.setitem(values, name, f"({first})")
    monkeypatch.setattr(scripts.take_next._source, "_spelt", {})


async def let_leases_end(post: Post, user_id: bytes = USER) -> None:
    """As after so long a time, of what somebody has taken: they have it still, as it seems."""
    box = bucket(user_id).mail
    for entry, holder, _, _ in await post.redis.execute("XPENDING", box, "mailers", "-", "+", 10):
        idle = ("IDLE", 10**7, "JUSTID")
        await post.redis.execute("XCLAIM", box, "mailers", holder, 0, entry, *idle)


@ON_VALKEY
async def test_a_bucket_that_is_not_served_holds_up_no_other(post: Post) -> None:
    """Redis has gone back in time in one: what others have left elsewhere is sent."""
    await kept(post)
    post.redis.fence.close(behind={USER[0] & 63 ^ 1})
    async with serving(Server()) as server, post.sending(f"smtp://127.0.0.1:{server.port}"):
        await until(lambda: server.mails)


@ON_VALKEY
async def test_it_is_sent_once_and_forgotten(post: Post, keys: RedisServer) -> None:
    """With what a mail must have; nothing of it stays in Redis."""
    async with serving(Server()) as server, post.sending(f"smtp://127.0.0.1:{server.port}"):
        await kept(post)
        await until(lambda: server.mails and post.outcomes[-1] == ("test", "sent"))
        assert await waits(post) == 0
    [mail] = server.mails
    assert server.names == ["id.example"]
    assert server.recipients == ["ann@example.com"]
    assert mail["To"] == "ann@example.com"
    assert mail["From"] == "Open Show & Söhne <no-reply@id.example>"
    assert mail["Message-ID"].endswith("@id.example>")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    with keys.client() as client:
        assert client.xpending(bucket(USER).mail, "mailers")["pending"] == 0


@ON_VALKEY
async def test_it_greets_by_a_whole_name(post: Post) -> None:
    """Strict servers refuse all mails of a `localhost`; it says whose mails they are."""
    mail = post.composer().compose(new_message("test", "ann@example.com", "", system_clock()))
    names = {
        "id.example": "id.example",
        "xn--bcher-kva.example": "xn--bcher-kva.example",
        "[192.0.2.1]": "[192.0.2.1]",
        "[IPv6:2001:db8::1]": "[IPv6:2001:db8::1]",
        "localhost": "[127.0.0.1]",
    }
    async with serving(Server()) as server:
        for domain in names:
            url = mail_url.parse(f"smtp://127.0.0.1:{server.port}")
            transport = open_transport(url, domain)
            await transport.send(mail)
            await transport.aclose()
    assert server.names == list(names.values())


@ON_VALKEY
async def test_tls_is_demanded(post: Post, certificate: ssl.SSLContext, ca_file: str) -> None:
    """`required`: not without, and not with a certificate of nobody we trust."""
    async with serving(Server()) as plain, serving(Server(), tls=certificate) as server:
        for url, reason in (
            (f"smtp://127.0.0.1:{plain.port}?tls=required", "offers no TLS"),
            (f"smtp://127.0.0.1:{server.port}?tls=required", "no TLS with this server"),
            (f"smtps://127.0.0.1:{server.port}?ca={ca_file}", "no TLS with this server"),
        ):
            with pytest.raises(NotSent, match=reason):
                await open_transport(mail_url.parse(url), "id.example").check()
        for url, encrypted in (
            (f"smtp://127.0.0.1:{server.port}?tls=required&ca={ca_file}", True),
            (f"smtp://127.0.0.1:{server.port}?tls=opportunistic", True),
        ):
            async with post.sending(url):
                before = len(server.mails)
                await kept(post)
                await until(lambda: len(server.mails) > before)  # noqa: B023
            assert server.encrypted[-1] is encrypted
        assert plain.mails == []


def mail_of(post: Post, address: str = "ann@example.com") -> Mail:
    return post.composer().compose(new_message("test", address, "", system_clock()))


async def test_addresses_beyond_ascii_over_tls(
    post: Post, certificate: ssl.SSLContext, ca_file: str
) -> None:
    """What the server can is asked for again after STARTTLS, of which nothing is left."""
    async with serving(Server(), tls=certificate) as server:
        for mode in ("required", "opportunistic"):
            url = f"smtp://127.0.0.1:{server.port}?tls={mode}&ca={ca_file}"
            transport = open_transport(mail_url.parse(url), "id.example")
            await transport.send(mail_of(post, "än@example.com"))
            await transport.aclose()
    assert server.recipients == ["än@example.com"] * 2
    assert server.encrypted == [True, True]


async def test_the_password_is_only_for_the_server(
    certificate: ssl.SSLContext, ca_file: str
) -> None:
    """It goes over TLS alone; a wrong one is told without a word of it."""
    server = Server()
    async with serving(server, tls=certificate, authenticator=server.log_in, auth_require_tls=True):
        at = f"127.0.0.1:{server.port}?tls=required&ca={ca_file}"
        url = mail_url.parse(f"smtp://me:p%40ss%3Aw%2Frd@{at}")
        await open_transport(url, "id.example").check()
        assert server.logins[-1] == (b"me", b"p@ss:w/rd")
        with pytest.raises(NotSent, match=r"refuses our name or password \(535\)") as refused:
            await open_transport(mail_url.parse(f"smtp://me:wr0ng@{at}"), "id.example").check()
        assert "wr0ng" not in str(refused.value)


@ON_VALKEY
async def test_it_is_tried_again(
    post: Post, keys: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a 4xx, a line that is cut after DATA, and a server that is not there: the same mail."""
    soon(monkeypatch)
    server = Server()
    server.replies = ["451 later", "cut", "421 not now"]
    port = free_port()
    async with post.sending(f"smtp://127.0.0.1:{port}") as [sender]:
        await kept(post)
        await until(lambda: "cannot be reached" in sender.state.problem)
        async with serving(server, port=port):
            await until(lambda: post.outcomes[-1] == ("test", "sent"))
    assert len({mail["Message-ID"] for mail in server.mails}) == 1
    assert len(server.mails) == 2, "the first was cut after its end, so nobody knew"
    assert Counter(outcome for _, outcome in post.outcomes)["retried"] >= 4
    assert events(keys, USER) == []


@ON_VALKEY
async def test_after_eight_tries_it_is_given_up(
    post: Post, keys: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told by an event that names neither address nor link."""
    soon(monkeypatch, 5)
    server = Server()
    server.replies = ["450 busy"] * 20
    async with serving(server), post.sending(f"smtp://127.0.0.1:{server.port}"):
        await kept(post)
        await until(lambda: ("test", "failed") in post.outcomes)
    assert len(server.replies) == 12
    [event] = events(keys, USER)
    assert (event["type"], event["purpose"], event["reason"]) == ("mail.failed", "test", "tries")
    assert await waits(post) == 0


@ON_VALKEY
async def test_a_defect_of_ours_is_a_try_too(
    post: Post, keys: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that nobody can make a mail of does not stay for ever."""
    soon(monkeypatch, 5)
    composed = Composer.compose

    def cannot(composer: Composer, message: Message) -> Mail:
        if message.address == "ann@example.com":
            raise ZeroDivisionError
        return composed(composer, message)

    monkeypatch.setattr(Composer, "compose", cannot)
    async with serving(Server()) as server, post.sending(f"smtp://127.0.0.1:{server.port}"):
        await kept(post)
        await kept(post, "bob@example.com", bytes(16))
        await until(lambda: set(post.outcomes) >= {("test", "failed"), ("test", "sent")})
    assert server.recipients == ["bob@example.com"]
    [event] = events(keys, USER)
    assert (event["type"], event["reason"]) == ("mail.failed", "tries")
    assert await waits(post) == 0


@ON_VALKEY
async def test_what_is_refused_for_good_is_not_tried_again(post: Post, keys: RedisServer) -> None:
    """A 5xx; an address that no mail can have, or no envelope; a link that works no more."""
    server = Server()
    server.replies = ["550 nobody here"]
    async with serving(server), post.sending(f"smtp://127.0.0.1:{server.port}") as [sender]:
        await kept(post)
        await until(lambda: post.outcomes[-1] == ("test", "failed"))
        await kept(post, "a\r\nBcc: everybody@example.com@example.com")
        await until(lambda: post.outcomes[-2:].count(("test", "failed")) == 1)
        await kept(post, "a b@example.com")
        await until(lambda: post.outcomes.count(("test", "failed")) == 3)
        late = new_message("test", "a@b.de", "", system_clock(), life=-timedelta(seconds=1))
        await post.outbox.post(USER, late, CLIENT)
        await until(lambda: post.outcomes.count(("test", "failed")) == 4)
        assert sender.state.problem == "", "nobody else's mails wait for it"
    reasons = [event["reason"] for event in events(keys, USER)]
    assert reasons == ["refused", "refused", "refused", "expired"]
    assert server.mails == []


@ON_VALKEY
async def test_a_sender_who_is_refused_waits(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 5xx about ourselves says nothing of a mail: it is sent once that is mended."""
    soon(monkeypatch, 200)
    server = Server()
    server.refuses_sender = True
    async with serving(server), post.sending(f"smtp://127.0.0.1:{server.port}") as [sender]:
        await kept(post)
        await until(lambda: sender.state.problem == "the server refuses the sender (530)")
        server.refuses_sender = False
        await until(lambda: post.outcomes[-1] == ("test", "sent"))
    assert len(server.mails) == 1


@ON_VALKEY
async def test_who_is_killed_before_the_acknowledgement(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has it and nobody noted that: others send it once more when the lease is over."""
    soon(monkeypatch)
    async with serving(Server()) as server:
        url = f"smtp://127.0.0.1:{server.port}"

        async def killed(*_: object, **__: object) -> None:
            await asyncio.sleep(3600)

        with monkeypatch.context() as patch:
            patch.setattr(scripts, "sent", killed)
            async with post.sending(url):
                await kept(post)
                await until(lambda: server.mails)
        assert await waits(post) == 1
        async with post.sending(url) as [sender]:
            await until(lambda: sender.state.queued)  # it has looked
            assert len(server.mails) == 1, "nobody else takes it while the lease lasts"
        await let_leases_end(post)
        async with post.sending(url, 3):
            await until(lambda: ("test", "sent") in post.outcomes)
        assert len(server.mails) == 2
        assert server.mails[0]["Message-ID"] == server.mails[1]["Message-ID"]
        assert await waits(post) == 0


@ON_VALKEY
async def test_who_is_stopped_notes_what_was_sent(post: Post) -> None:
    """What is under way by then has a second: in a rolling deploy most mails are sent once."""
    server, under_way = Server(), asyncio.Event()

    async def look_into_it() -> None:
        under_way.set()
        await asyncio.sleep(0.1)

    server.before_reply = look_into_it
    async with serving(server), post.sending(f"smtp://127.0.0.1:{server.port}"):
        await kept(post)
        await under_way.wait()
    assert post.outcomes[-1] == ("test", "sent")
    assert await waits(post) == 0
    assert len(server.mails) == 1


@ON_VALKEY
async def test_three_pods_send_each_once(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many that others have left, of many people."""
    soon(monkeypatch)
    people = [bytes([n]) + os.urandom(15) for n in range(60)]
    await asyncio.gather(
        *(kept(post, f"p{n}@example.com", user_id) for n, user_id in enumerate(people))
    )
    async with serving(Server()) as server, post.sending(f"smtp://127.0.0.1:{server.port}", 3):
        await until(lambda: post.outcomes.count(("test", "sent")) >= 60)  # and forgotten
    assert Counter(server.recipients) == {f"p{n}@example.com": 1 for n in range(60)}
    assert sum([await waits(post, numbered_id(n)) for n in range(BUCKETS)]) == 0


def numbered_id(number: int) -> bytes:
    assert numbered(number)
    return bytes([number]) * 16


@ON_VALKEY
async def test_a_slow_server_holds_up_one_worker(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that does not answer in time: given back, tried again."""
    soon(monkeypatch)
    monkeypatch.setattr(scripts, "SENDING_TIME", timedelta(milliseconds=200))
    server, slow = Server(), [True]
    server.before_reply = lambda: asyncio.sleep(30) if slow and slow.pop() else None
    async with serving(server), post.sending(f"smtp://127.0.0.1:{server.port}") as [sender]:
        await kept(post)
        await until(lambda: ("test", "sent") in post.outcomes)
        assert ("test", "retried") in post.outcomes
        assert sender.state.problem == ""


async def test_a_mail_that_is_looked_into_for_long_is_sent_once(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the server says to the end of a mail is waited for longer than other answers."""
    server = Server()
    server.before_reply = lambda: asyncio.sleep(0.3)
    async with serving(server):
        url = mail_url.parse(f"smtp://127.0.0.1:{server.port}")
        transport = SmtpServer(url, "id.example")
        client = await transport._connected()
        rcpt = client.rcpt

        async def impatient(*arguments: Any, **named: Any) -> Any:
            answer = await rcpt(*arguments, **named)
            client.timeout = 0.01  # for all that is asked after it
            return answer

        monkeypatch.setattr(client, "rcpt", impatient)
        await transport.send(mail_of(post))
        await transport._drop()
    assert len(server.mails) == 1


async def test_who_refuses_and_falls_silent(post: Post) -> None:
    """The refusal counts, and no other mail waits: nothing is asked after it."""
    asked: list[str] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while line := await reader.readline():
            asked.append(line[:4].decode().strip())
            if asked[-1] not in ("RSET", "QUIT"):
                writer.write(b"550 nobody\r\n" if asked[-1] == "RCPT" else b"250 well\r\n")
        writer.close()

    listener = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        transport = open_transport(mail_url.parse(f"smtp://127.0.0.1:{port}"), "id.example")
        with pytest.raises(Refused, match="550"):
            await transport.send(mail_of(post))
    assert asked == ["EHLO", "MAIL", "RCPT", "QUIT"]


async def test_a_mail_is_noted_before_anybody_leaves(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last of a connection, too: a server that says nothing to QUIT would hold that up."""
    monkeypatch.setattr(transports, "_MOST_PER_CONNECTION", 2)
    left: list[None] = []

    async def leave(*_: object) -> None:
        left.append(None)

    async with serving(Server()) as server:
        url = mail_url.parse(f"smtp://127.0.0.1:{server.port}")
        transport = SmtpServer(url, "id.example")
        with monkeypatch.context() as patch:
            patch.setattr(transports._Client, "quit", leave)
            await transport.send(mail_of(post))
            await transport.send(mail_of(post))
            assert left == []
            await transport.send(mail_of(post))
            assert left == [None]
        await transport.aclose()


@ON_VALKEY
async def test_redis_that_is_away_after_a_mail(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told again that the mail was sent, so that nobody sends it once more."""
    soon(monkeypatch)
    monkeypatch.setattr(sending, "_PAUSE_OF_REDIS", 0.01)
    note, away = scripts.sent, [StoreUnavailable("away")] * 3

    async def sent(*arguments: RedisClient, box: bytes, entry: bytes) -> object:
        if away:
            raise away.pop()
        return await note(*arguments, box=box, entry=entry)

    monkeypatch.setattr(scripts, "sent", sent)
    async with serving(Server()) as server, post.sending(f"smtp://127.0.0.1:{server.port}"):
        await kept(post)
        await until(lambda: ("test", "sent") in post.outcomes)
        assert await waits(post) == 0
    assert len(server.mails) == 1


@ON_VALKEY
async def test_nothing_stands_in_clear(post: Post, keys: RedisServer) -> None:
    """Neither in Redis nor in its file: address, token, text, kind of what waits."""
    await kept(post, "secret.address@example.com", kind="reset")
    with keys.client() as client:
        [(_, fields)] = client.xrange(bucket(USER).mail)
        everything = b"".join(fields.values()) + b"".join(client.scan_iter())
    log = b"".join(
        path.read_bytes()
        for path in keys.directory.rglob("*")
        if path.is_file() and "aof" in path.name
    )
    assert log
    for secret in (b"secret.address", b"osm_secret", b"reset"):
        assert secret not in everything
    for secret in (b"secret.address@example.com", b"osm_secret"):
        assert secret not in log


@ON_VALKEY
async def test_a_bounded_number_waits(post: Post, keys: RedisServer) -> None:
    """More are not kept, and that is told."""
    post.outbox._most = 2
    await kept(post)
    await kept(post)
    message = new_message("test", "a@b.de", "", system_clock())
    assert await post.outbox.post(USER, message, CLIENT) is None
    assert post.outcomes[-1] == ("test", "full")
    assert await waits(post) == 2
    [event] = events(keys, USER)
    assert (event["type"], event["reason"]) == ("mail.suppressed", "full")
