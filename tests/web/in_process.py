"""The service's protocol before a small app, in this process, on a pair of sockets."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from service.web.protocol import Protocol

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]


async def respond(send: Send, body: bytes) -> None:
    """Answer with this body."""
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def read(receive: Receive) -> bytes:
    """Read the body of a request; `gone` is added to that of one who has not sent it all."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return body + b"gone"
        body += message["body"]
        more = message["more_body"]
    return body


async def tell(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Answer with what was understood of a request, as JSON."""
    body = await read(receive)
    told = {
        "method": scope["method"],
        "path": scope["path"],
        "raw_path": scope["raw_path"].decode(),
        "query": scope["query_string"].decode(),
        "version": scope["http_version"],
        "headers": [[name.decode("latin-1"), v.decode("latin-1")] for name, v in scope["headers"]],
        "body": body.decode(),
    }
    await respond(send, json.dumps(told).encode())


@asynccontextmanager
async def connected(
    app: App = tell, state: dict[str, Any] | None = None
) -> AsyncIterator[tuple[Protocol, socket.socket]]:
    """Connect a client to the protocol. `state` is that of the app."""
    config = uvicorn.Config(app, http=Protocol, log_config=None, lifespan="off")
    config.load()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    loop = asyncio.get_running_loop()
    server = ServerState()
    protocol = Protocol(
        config=config, server_state=server, app_state={} if state is None else state
    )
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, theirs)
    try:
        yield protocol, ours
    finally:
        if protocol in server.connections:  # else it is closed, and knows no loop any more
            transport.abort()
        ours.close()


async def answer(client: socket.socket, sent: bytes, step: int = 0, end: bool = True) -> bytes:
    """Send it, `step` bytes at a time, then no more if `end`, and read until nothing comes."""
    loop, received = asyncio.get_running_loop(), b""
    async with asyncio.timeout(10):
        with suppress(BrokenPipeError):  # it was refused
            for at in range(0, len(sent), step or len(sent) or 1):
                await loop.sock_sendall(client, sent[at : at + (step or len(sent))])
                if step:
                    await asyncio.sleep(0)
            if end:
                client.shutdown(socket.SHUT_WR)
        while more := await loop.sock_recv(client, 65_536):
            received += more
    return received
