"""How many events a second one core brings to a webhook, receiver and Redis in other processes.

    PYTHONPATH=.:scripts python -m tools.bench.shipping [EVENTS]

The streams are filled first. Then a shipper as the service has it, in this process, posts all of it
to a receiver that answers 204. Its CPU time is this process' alone: events by it are what a core
does, whatever else the machine is busy with.
"""

import argparse
import asyncio
import ipaddress
import multiprocessing
import os
import time
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

from service.embedded.files import find_binary
from service.redis.client import RedisClient
from service.redis.keys import BUCKETS, numbered
from service.sinks.receivers import receiver_at
from service.sinks.shipper import Shipper
from service.sinks.signatures import WebhookKeys
from service.sinks.sink import Counts
from service.sinks.webhooks import WebhookSink
from tools.testbed.redis_server import RedisServer

_WHAT = "How many events a second one core brings to a webhook."
_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
_LOOPBACK = ipaddress.ip_network("127.0.0.0/8")


class _Receiver(asyncio.Protocol):
    """Answers each request, by its Content-Length."""

    def __init__(self) -> None:
        self._data = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            length = int(self._data[:end].partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
            if len(self._data) < end + 4 + length:
                return
            self._data = self._data[end + 4 + length :]
            assert self._transport  # noqa: S101
            self._transport.write(_ANSWER)


class _Counts(Counts):
    def __init__(self) -> None:
        self.arrived = 0

    def sent(self, sink: str, events: int) -> None:
        self.arrived += events

    def failed(self, sink: str) -> None:
        raise AssertionError("a receiver that answers 204 has failed")

    def parked(self, sink: str) -> None: ...
    def lag(self, sink: str, seconds: float) -> None: ...


def _receive(told: Connection) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(_Receiver, "127.0.0.1", 0)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


async def _ship(redis: RedisClient, url: str, events: int) -> None:
    keys, counts = WebhookKeys(b"k" * 32, url), _Counts()
    sink = WebhookSink(receiver_at(url), lambda: keys, (_LOOPBACK,))
    sink.starts_behind = "0-0"
    shipper = Shipper(redis, sink, b"bench", lambda digest: None, counts)
    began, cpu = time.monotonic(), time.process_time()
    while counts.arrived < events:
        await shipper.look()
        await asyncio.sleep(0.1)
    seconds, own = time.monotonic() - began, time.process_time() - cpu
    print(
        f"{events:,} events: {own:.2f} s of CPU, {own / events * 1e6:.0f} us each:"
        f" {events / own:,.0f} a second and core; {events / seconds:,.0f} a second here"
    )
    began, cpu = time.monotonic(), time.process_time()
    for _ in range(100):
        await shipper.look()
        await asyncio.sleep(0.1)
    seconds, own = time.monotonic() - began, time.process_time() - cpu
    print(f"idle: {own / seconds:.1%} of a core")
    await shipper.aclose()


async def _measure(server: RedisServer, port: int, events: int) -> None:
    with server.client() as client, client.pipeline(transaction=False) as pipeline:
        for number in range(events):
            user = bytes([number % BUCKETS]) + os.urandom(15)
            fields = {
                "type": "user.loggedIn", "user": user.hex(), "ip": "192.0.2.7",
                "request": os.urandom(16).hex(), "session": os.urandom(12).hex(),
            }  # fmt: skip
            pipeline.xadd(numbered(number % BUCKETS).events, fields)
        pipeline.execute()
    redis = RedisClient(server.url)
    try:
        await _ship(redis, f"http://127.0.0.1:{port}/hook", events)
    finally:
        await redis.aclose()


def main() -> None:
    """Measure, and print it."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.shipping", description=_WHAT)
    what = "to bring to the receiver (default: 20,000)"
    parser.add_argument("events", metavar="EVENTS", type=int, nargs="?", default=20_000, help=what)
    events = parser.parse_args().events
    ours, theirs = multiprocessing.Pipe()
    receiver = multiprocessing.Process(target=_receive, args=(theirs,), daemon=True)
    receiver.start()
    with TemporaryDirectory(prefix="shipping-") as directory:
        server = RedisServer(find_binary(), Path(directory)).start()
        try:
            asyncio.run(_measure(server, ours.recv(), events))
        finally:
            server.stop()
            receiver.terminate()


if __name__ == "__main__":
    main()
