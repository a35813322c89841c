"""What an answer must be, so that its status is believed."""

import ipaddress

import pytest

from service.sinks.posting import Lines, PostFailed
from service.sinks.receivers import receiver_at
from tests.sinks.receiver import listening

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


@pytest.mark.parametrize("status", ["9" * 4_000, "20", "099", "2000", "\xb200"])
async def test_a_status_that_is_none(status: str) -> None:
    """Is told as no answer: a message, which is logged, holds nothing else that was sent."""
    async with listening() as endpoint:
        answer = f"HTTP/1.1 {status} OK\r\nContent-Length: 0\r\n\r\n".encode("latin-1")
        endpoint.answer = lambda _: answer
        line = Lines(receiver_at(endpoint.url), LOOPBACK).of(0)
        with pytest.raises(PostFailed) as failure:
            await line.post({}, b"{}")
    assert str(failure.value) == "the connection failed"
