"""Whose address it is: of the peer, or of whom a trusted proxy has heard."""

import ipaddress
import re
from collections.abc import Iterator

import httpx
import pytest
from tools.testbed.access import SERVICE
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD, PATIENT, ServiceProcess
from tools.testbed.waiting import wait_until

from service.sessions.origin import RequestOrigin, network, unpack
from service.web.addresses import TrustedProxies, parse
from tests.web.wire import Wire

PROXIES = TrustedProxies([ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("10.1.0.0/16")])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("127.0.0.1", b"", "127.0.0.1"),
        ("127.0.0.1", b"198.51.100.9", "198.51.100.9"),
        ("::ffff:127.0.0.1", b"198.51.100.9", "198.51.100.9"),
        ("127.0.0.1", b"::ffff:198.51.100.9", "198.51.100.9"),
        ("127.0.0.1", b"::FFFF:C633:6409", "198.51.100.9"),
        ("127.0.0.1", b"64:ff9b::198.51.100.9", "198.51.100.9"),
        ("192.0.2.1", b"198.51.100.9", "192.0.2.1"),
        ("::ffff:192.0.2.1", b"198.51.100.9", "192.0.2.1"),
        ("127.0.0.1", b"203.0.113.5, 198.51.100.9", "198.51.100.9"),
        ("127.0.0.1", b"203.0.113.5, 198.51.100.9, 10.1.2.3", "198.51.100.9"),
        ("127.0.0.1", b"198.51.100.9, ::ffff:10.1.2.3, 127.0.0.9", "198.51.100.9"),
        ("127.0.0.1", b"10.1.2.3, 10.1.2.4", "10.1.2.3"),
        ("127.0.0.1", b"198.51.100.9, 10.2.0.1", "10.2.0.1"),
        ("127.0.0.1", b"198.51.100.9:4711", "198.51.100.9"),
        ("127.0.0.1", b"[2001:db8::1]:4711", "2001:db8::1"),
        ("127.0.0.1", b"[2001:db8::1]", "2001:db8::1"),
        ("127.0.0.1", b"2001:db8::1", "2001:db8::1"),
        ("127.0.0.1", b"fe80::1%eth0", "fe80::1"),
        ("fe80::1%eth0", b"", "fe80::1"),
        ("127.0.0.1", b" 198.51.100.9 ,, ", "198.51.100.9"),
        ("127.0.0.1", b" , ", "127.0.0.1"),
        ("127.0.0.1", b"198.51.100.9, unknown", None),
        ("127.0.0.1", b"unknown", None),
        ("127.0.0.1", b"_hidden, 10.1.2.3", None),
        ("127.0.0.1", b"198.51.100.9, 999.1.1.1", None),
        ("127.0.0.1", b"198.51.100.9, \xff\xfe", None),
        ("127.0.0.1", b'"203.0.113.5, 198.51.100.9', "198.51.100.9"),
        ("127.0.0.1", b'for=203.0.113.5;x="a, b", _x, 198.51.100.9, 10.1.2.3', "198.51.100.9"),
        ("127.0.0.1", b"10.1.2.3," * 900 + b"198.51.100.9,[::ffff:10.1.2.3]:443", "198.51.100.9"),
        ("127.0.0.1", b"1" * 60_000, None),
        ("127.0.0.1", b"3325256713", None),
        ("nobody", b"198.51.100.9", None),
    ],
)
def test_the_last_that_is_no_proxy(peer: str, forwarded: bytes, client: str | None) -> None:
    """What stands before it, the client may have written itself. What is no address is unknown."""
    found = PROXIES.client(peer, forwarded)
    assert (str(found) if found else None) == client
    assert PROXIES.client_text(peer, forwarded) == client


@pytest.mark.parametrize(("length", "address"), [(64, "192.0.2.1"), (65, None)])
def test_how_long_an_address_is(length: int, address: str | None) -> None:
    """64 characters with its zone are one; more are none, and are not kept."""
    found = parse("192.0.2.1%".ljust(length, "z"))
    assert (str(found) if found else None) == address


def test_who_is_asked_without_an_address() -> None:
    """Nobody's, as on a socket in the file system, is nobody's text either."""
    assert PROXIES.client_text("", b"") is None
    assert PROXIES.client_text("127.0.0.1", b"unknown") is None


def test_a_network_that_is_more_than_ipv4() -> None:
    """It is one of IPv6, which no address of IPv4 lies in."""
    proxies = TrustedProxies([ipaddress.ip_network("64:ff9b::/64")])
    assert str(proxies.client("64:ff9b::192.0.2.1", b"198.51.100.9")) == "192.0.2.1"
    assert str(proxies.client("64:ff9b:0:0:1::1", b"198.51.100.9")) == "198.51.100.9"


@pytest.mark.parametrize(
    "trusted", ["::ffff:192.0.2.0/120", "192.0.2.0/24", "::ffff:0:0/96", "64:ff9b::c000:200/120"]
)
@pytest.mark.parametrize("peer", ["::ffff:192.0.2.7", "192.0.2.7"])
def test_a_network_may_be_written_either_way(trusted: str, peer: str) -> None:
    """IPv4 inside IPv6 is IPv4, in the settings too."""
    proxies = TrustedProxies([ipaddress.ip_network(trusted)])
    assert str(proxies.client(peer, b"198.51.100.9")) == "198.51.100.9"
    assert str(proxies.client("2001:db8::7", b"198.51.100.9")) == "2001:db8::7"


def test_one_network_for_one_address() -> None:
    """What counts attempts, and what is shown of older records, sees IPv4 as well."""
    for text in ("198.51.100.9", "::ffff:198.51.100.9", "64:ff9b::198.51.100.9"):
        address = ipaddress.ip_address(text)
        assert network(address) == "198.51.100.0/24"
        assert RequestOrigin(address, "", "").address_text == "198.51.100.9"
        assert unpack(RequestOrigin(address, "", "").packed())[0] == "198.51.100.9"
    assert network(parse("2001:db8:1:2::3")) == "2001:db8:1:2::/64"
    assert network(parse("::1")) == "::/64"
    assert network(parse("unknown")) == network(None) == "unknown"


@pytest.fixture(scope="module")
def dual(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """A service on a socket for both families, with limits per network and a proxy in front."""
    service = ServiceProcess(
        tmp_path_factory.mktemp("dual"),
        redis_server.url_of(SERVICE),
        SERVICE_HOST="::",
        SERVICE_TRUSTED_PROXIES="127.0.0.0/8",
        SERVICE_RATE_LIMIT="on",
        **PATIENT,
    )
    service._launch()
    wait_until(lambda: re.search(r"serves on http://\[::1\]:(\d+)", service.output()))
    [port] = re.findall(r"serves on http://\[::1\]:(\d+)", service.output())
    service.url = f"http://127.0.0.1:{port}"
    yield service
    assert service.stop() == 0


def ask(wire: Wire, path: str, email: str, password: str, source: str) -> httpx.Response:
    body = b'{"email": "%s", "password": "%s"}' % (email.encode(), password.encode())
    headers = (f"X-Forwarded-For: {source}", f"Content-Length: {len(body)}")
    return wire.ask(f"POST {path}", *headers, body=body)


def test_a_socket_for_both_families(dual: ServiceProcess) -> None:
    """The proxy is believed although its address comes as `::ffff:127.0.0.1`."""
    wire = Wire(dual.url)
    answer = ask(wire, "/auth/signup", "dual@example.com", PASSWORD, "::ffff:198.51.100.9")
    assert answer.status_code == 201
    bearer = f"Authorization: Bearer {answer.json()['accessToken']}"
    assert wire.ask("GET /auth/me", bearer).json()["session"]["ipAddress"] == "198.51.100.9"
    for number in range(10):
        answer = ask(wire, "/auth/login", "dual@example.com", "wrong", f"203.0.113.{number}")
        assert answer.status_code == 401
    assert ask(wire, "/auth/login", "dual@example.com", PASSWORD, "203.0.113.9").status_code == 429
    mapped = ask(wire, "/auth/login", "dual@example.com", PASSWORD, "::ffff:203.0.113.77")
    assert mapped.status_code == 429
    assert ask(wire, "/auth/login", "dual@example.com", PASSWORD, "198.51.100.1").status_code == 200


def test_unknown_addresses_are_one_network(dual: ServiceProcess) -> None:
    """Whatever stands there instead of an address, the network's limit holds."""
    wire = Wire(dual.url)
    answers = [
        ask(wire, "/auth/login", f"nobody-{number}@example.com", "wrong", f"unknown-{number}")
        for number in range(301)
    ]
    assert [answer.status_code for answer in answers] == [401] * 300 + [429]
