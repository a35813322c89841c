"""Where a webhook may go, where none may, and for how long it is tried."""

import asyncio
import ipaddress
import threading
from datetime import timedelta

import pytest

from service.sinks.receivers import Addresses, Forbidden, Network, receiver_at, refuse
from service.sinks.webhooks import WebhookSink

LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"),)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "224.0.0.1", "255.255.255.255", "192.0.2.1", "240.0.0.1", "::1", "::", "fe80::1",
        "fd00::1", "fec0::1", "feff::1", "4000::1",
        "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:db8::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    """Private, of this machine, of the link, of the metadata service, however they are spelt."""
    with pytest.raises(Forbidden):
        refuse(ipaddress.ip_address(address), True, ())
    refuse(ipaddress.ip_address(address), False, (ipaddress.ip_network(f"{address}"),))


def test_public_addresses_by_https_alone() -> None:
    """In clear nothing leaves for a network that is not allowed."""
    public = ipaddress.ip_address("93.184.216.34")
    refuse(public, True, ())
    with pytest.raises(Forbidden):
        refuse(public, False, LOOPBACK)


async def test_names_that_lead_here() -> None:
    """What a name stands for is looked at, and numbers that are spelt otherwise are."""
    for host in ("localhost", "2130706433", "0x7f.1", "127.1", "[::1]", "[::ffff:7f00:1]"):
        with pytest.raises(Forbidden):
            await Addresses(receiver_at(f"https://{host}/"), ()).one()
    allowed = (*LOOPBACK, ipaddress.ip_network("::1"))
    assert await Addresses(receiver_at("https://localhost/"), allowed).one()


async def test_names_that_are_none() -> None:
    """A name that no name server can be asked for has no address, as one that it does not know."""
    for host in ("a..example", "a" * 64 + ".example"):
        with pytest.raises(Forbidden):
            await Addresses(receiver_at(f"https://{host}/"), ()).one()


async def test_a_name_server_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Costs one thread, none of the loop's, however many wait for it; whoever leaves, leaves all
    the others waiting."""
    let_go, asked = threading.Event(), list[str]()

    def hangs(*_: object, **__: object) -> list[tuple[object, ...]]:
        asked.append(threading.current_thread().name)
        let_go.wait(10)
        return [(0, 0, 0, "", ("93.184.216.34", 443))]

    monkeypatch.setattr("service.sinks.receivers.socket.getaddrinfo", hangs)
    addresses = Addresses(receiver_at("https://a.example/"), ())
    waiting = [asyncio.create_task(addresses.one()) for _ in range(64)]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await addresses.one()
    let_go.set()
    assert {str(each) for each in await asyncio.gather(*waiting)} == {"93.184.216.34"}
    assert asked == ["beside"]


@pytest.mark.parametrize(
    ("url", "authority"),
    [("https://a.example/", "a.example"), ("https://a.example:443/", "a.example"),
     ("https://a.example:80/", "a.example:80"), ("http://a.example:443/", "a.example:443"),
     ("https://[::1]:8443/x", "[::1]:8443")],
)  # fmt: skip
def test_the_host_that_is_named(url: str, authority: str) -> None:
    """A port is left out only where it is that of the scheme."""
    assert receiver_at(url).authority == authority


def test_a_url_may_be_a_secret() -> None:
    """Of which only the host is shown."""
    assert repr(receiver_at("https://a.example/T0/B0?key=secret")) == "Receiver('a.example')"


@pytest.mark.parametrize(
    "url",
    ["ftp://a.example/", "https://u:p@a.example/", "https:///x", "https://a.example/#x",
     "https://a.example/ x", "https://[::1/", "https://a.example:99999/", "https://ä.example/",
     "https://a.example:0/", "ftp://a.example:21/", "//a.example/"],
)  # fmt: skip
def test_what_is_no_receiver(url: str) -> None:
    """Such URLs are refused when they are set."""
    with pytest.raises(ValueError, match="must be"):
        receiver_at(url)


def test_an_absence_of_an_hour_parks_nothing() -> None:
    """Tries go on for longer than two hours, and the longest wait is an hour."""
    retries = WebhookSink.retries
    assert retries.most is not None
    waits = [min(retries.first * 2**n, retries.longest) for n in range(retries.most - 1)]
    assert sum(waits, timedelta(0)) > timedelta(hours=2)
    assert waits[-1] == timedelta(hours=1)
