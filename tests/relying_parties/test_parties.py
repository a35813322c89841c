"""What a relying party may be called, and where logout tokens may go."""

import ipaddress

import pytest

from service.errors import InvalidField
from service.relying_parties.parties import client_id_of, uri_of

PRIVATE = (ipaddress.ip_network("10.0.0.0/8"),)


@pytest.mark.parametrize("text", ["shop", "a", "urn:app:shop-1", "shop.example~2_b", "9" * 100])
def test_client_ids(text: str) -> None:
    """Each stands in a path as it is."""
    assert client_id_of(text) == text


@pytest.mark.parametrize(
    "uri", ["http://shop.example/", "http://203.0.113.7/", "http://localhost/"]
)
def test_http_needs_an_allowed_network(uri: str) -> None:
    """By name or by address: without a certificate nobody knows who hears of it."""
    with pytest.raises(InvalidField):
        uri_of(uri, ())


@pytest.mark.parametrize(
    "uri", ["https://shop.example/logout?a=b", "https://203.0.114.7/", "http://10.1.2.3:8000/x"]
)
def test_where_they_may_go(uri: str) -> None:
    """https to what is public, and to allowed networks as they are."""
    assert uri_of(uri, PRIVATE) == uri


@pytest.mark.parametrize("uri", ["http://10.1.2.3/", "https://127.0.0.1/", "http://203.0.114.7/"])
def test_what_is_refused_at_once(uri: str) -> None:
    """An address that would be refused whenever it is called: the operator hears of it now."""
    with pytest.raises(InvalidField):
        uri_of(uri, PRIVATE if "10." not in uri else ())
