"""The short form of address and user agent that is kept with a session."""

import ipaddress

import pytest
from hypothesis import given, strategies as st

from service.sessions.origin import USER_AGENT_KEPT, RequestOrigin, plain, unpack

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/138.0.0.0 Safari/537.36"
)
ADDRESSES = st.none() | st.ip_addresses()


@given(ADDRESSES, st.binary(max_size=600).map(lambda raw: raw.decode("latin-1")))
def test_whatever_a_header_holds_comes_back(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, agent: str
) -> None:
    """IPv4, IPv6 or none; any bytes as a user agent, cut at 256 characters."""
    packed = RequestOrigin(address, agent, "id").packed()
    shown, shown_agent = unpack(packed)
    assert (ipaddress.ip_address(shown) if shown else None) == (address and plain(address))
    assert shown_agent == (agent[:USER_AGENT_KEPT] or None)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("::", "::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("64:ff9b::192.0.2.7", "192.0.2.7"),
        ("::fffe:c000:207", "::fffe:c000:207"),
        ("64:ff9b::1:c000:207", "64:ff9b::1:c000:207"),
    ],
)
def test_addresses_are_spelt_as_in_rfc_5952(text: str, shown: str) -> None:
    """In session lists and in audit events alike; an IPv4 address inside an IPv6 one is IPv4."""
    client = RequestOrigin(ipaddress.ip_address(text), "", "id")
    assert client.address_text == unpack(client.packed())[0] == shown


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=USER_AGENT_KEPT))
def test_any_text_comes_back(agent: str) -> None:
    """Four bytes a character fit too."""
    assert unpack(RequestOrigin(None, agent, "id").packed()) == (None, agent or None)


@pytest.mark.parametrize("agent", [CHROME, "curl/8.5.0", "python-requests/2.31.0", "okhttp/4.9.3"])
def test_common_user_agents_become_short(agent: str) -> None:
    """The dictionary pays: a browser's hundred characters fit in about 20 bytes."""
    packed = RequestOrigin(ipaddress.ip_address("192.0.2.7"), agent, "id").packed()
    assert len(packed) - 5 <= min(24, len(agent) + 2)


def test_the_layout() -> None:
    """Length of the address, the address, then the user agent, if any."""
    assert RequestOrigin(None, "", "id").packed() == b"\0"
    assert (
        RequestOrigin(ipaddress.ip_address("192.0.2.7"), "", "id").packed()
        == b"\x04\xc0\x00\x02\x07"
    )
    assert (
        RequestOrigin(ipaddress.ip_address("::1"), "", "id").packed()
        == b"\x10" + bytes(15) + b"\x01"
    )
