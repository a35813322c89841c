"""The forms of SERVICE_REDIS_URL."""

import pytest
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection

from service.keyspace.url import RedisUrl


@pytest.mark.parametrize(
    ("text", "topology", "hosts", "primary", "options"),
    [
        ("redis://h", "standalone", [("h", 6379)], "", {}),
        ("redis://u:p%40@h:1/2", "standalone", [("h", 1)], "",
         {"username": "u", "password": "p@", "db": 2}),
        ("unix:///a%20b", "standalone", [], "", {"path": "/a b"}),
        ("redis+sentinel://a:1,b/main", "sentinel", [("a", 1), ("b", 26379)], "main", {}),
        ("redis+sentinel://u:p@a/main?db=1", "sentinel", [("a", 26379)], "main",
         {"username": "u", "password": "p", "db": 1}),
        ("redis+cluster://[::1]:7000,b", "cluster", [("::1", 7000), ("b", 6379)], "", {}),
        ("rediss+cluster://:p@a?ssl_ca_certs=/ca", "cluster", [("a", 6379)], "",
         {"password": "p", "ssl_ca_certs": "/ca"}),
    ],
)  # fmt: skip
def test_each_form_is_read(
    text: str,
    topology: str,
    hosts: list[tuple[str, int]],
    primary: str,
    options: dict[str, object],
) -> None:
    """Hosts, name and options of every topology, percent-escapes undone."""
    url = RedisUrl.parse(text)
    assert (url.topology, list(url.hosts), url.primary) == (topology, hosts, primary)
    assert url.options == options


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("redis://h", Connection),
        ("rediss://h", SSLConnection),
        ("unix:///s", UnixDomainSocketConnection),
        ("rediss+sentinel://h/p", SSLConnection),
    ],
)
def test_the_scheme_chooses_the_connection(text: str, kind: type) -> None:
    """TLS where the scheme has two s."""
    assert RedisUrl.parse(text).connection_class is kind


def test_sentinels_have_credentials_of_their_own() -> None:
    """The servers' are not sent to the Sentinels; certificates serve both."""
    url = RedisUrl.parse(
        "rediss+sentinel://u:p@a/main?sentinel_username=s&sentinel_password=q&ssl_ca_certs=/ca"
    )
    assert url.sentinel_options == {"username": "s", "password": "q", "ssl_ca_certs": "/ca"}
    assert url.options == {"username": "u", "password": "p", "ssl_ca_certs": "/ca"}


@pytest.mark.parametrize(
    "text",
    [
        "redis://host:port",
        "redis://[::1",
        "redis://h?nonsense=s3cret",
        "unix://?db=x",
        "http://h",
        "redis+sentinel://a:1",
        "redis+sentinel://:s3cret@/main",
        "redis+cluster://a,,b",
        "redis+cluster://a:s3cret",
        "redis+cluster://a/0",
        "redis+other://a",
    ],
)
def test_anything_else_is_refused_without_being_shown(text: str) -> None:
    """One error, which quotes nothing: a URL may hold a password, wherever it went wrong."""
    with pytest.raises(ValueError, match=r"^not a Redis URL$") as refused:
        RedisUrl.parse(text)
    assert refused.value.__suppress_context__


def test_it_is_shown_without_what_is_secret() -> None:
    """The hosts, not the password."""
    assert "s3cret" not in repr(RedisUrl.parse("redis://u:s3cret@h"))
