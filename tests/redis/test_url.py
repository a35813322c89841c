"""The forms of SERVICE_REDIS_URL."""

import re
from pathlib import Path

import pytest
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from tools.testbed.redis_server import REPOSITORY

from service.redis.url import RedisUrl
from service.redis.url_options import OPTIONS


@pytest.mark.parametrize(
    ("text", "topology", "hosts", "primary", "options"),
    [
        ("redis://h", "standalone", [("h", 6379)], "", {}),
        ("redis://u:p%40@h:1/2", "standalone", [("h", 1)], "",
         {"username": "u", "password": "p@", "db": 2}),
        ("unix:///a%20b", "standalone", [], "", {"path": "/a b"}),
        ("redis+sentinel://a:1,b/main", "sentinel", [("a", 1), ("b", 26379)], "main", {}),
        ("redis+sentinel://a,b,a:26379,b/main", "sentinel", [("a", 26379), ("b", 26379)], "main",
         {}),
        ("redis+sentinel://u:p@a/main?db=1", "sentinel", [("a", 26379)], "main",
         {"username": "u", "password": "p", "db": 1}),
        ("redis://", "standalone", [("localhost", 6379)], "", {}),
        ("redis://h:/", "standalone", [("h", 6379)], "", {}),
        ("redis://h?db=3", "standalone", [("h", 6379)], "", {"db": 3}),
        ("redis://h/3?db=3", "standalone", [("h", 6379)], "", {"db": 3}),
        ("redis://u@[fe80::1%25eth0]:1", "standalone", [("fe80::1%eth0", 1)], "",
         {"username": "u"}),
        ("redis://:%23%2F%3F%40%3A%25+%C3%A9@h", "standalone", [("h", 6379)], "",
         {"password": "#/?@:%+é"}),
        ("unix://u:p@/s?db=1", "standalone", [], "",
         {"username": "u", "password": "p", "path": "/s", "db": 1}),
        ("redis+sentinel://[::1],b.c:2/a%20b", "sentinel", [("::1", 26379), ("b.c", 2)], "a b", {}),
        ("rediss://h?ssl_check_hostname=false&ssl_cert_reqs=none", "standalone", [("h", 6379)], "",
         {"ssl_check_hostname": False, "ssl_cert_reqs": "none"}),
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
    ("text", "why"),
    [
        ("redis://host:port", "port"),
        ("redis://host:0", "port"),
        ("redis://host:65536", "port"),
        ("redis://host:\u0661", "port"),
        ("redis://host:-1", "port"),
        ("redis://[::1", "IPv6"),
        ("redis://::1", "brackets"),
        ("redis://[1.2.3.4]", "IPv6"),
        ("redis://a..b", "host"),
        ("redis://a_,b", "several hosts"),
        (f"redis://{'a' * 64}", "host"),
        ("redis://h%6f", "host"),
        ("redis://bücher", "host"),
        ("redis://h/abc", "database"),
        ("redis://h/0/", "database"),
        ("redis://h/-1", "database"),
        ("redis://h/\u0661", "database"),
        ("redis://h/1?db=2", "different"),
        ("redis://h?db=one", "number"),
        ("redis://h?db=", "value"),
        ("redis://h?db=1&db=1", "twice"),
        ("redis://h?nonsense=s3cret", "follows"),
        ("redis://h?s3cret", "follows"),
        ("redis://h?socket_timeout=5", "SERVICE_REDIS_REPLY_TIMEOUT_MS"),
        ("redis://h?socket_connect_timeout=5", "SERVICE_REDIS_CONNECT_TIMEOUT_MS"),
        ("redis://h?protocol=3", "protocol"),
        ("redis://h?decode_responses=true", "bytes"),
        ("redis://h?password=s3cret", "before the @"),
        ("redis://h?retry_on_timeout=true&max_connections=1", "follows"),
        ("redis://h?ssl_ca_certs=/ca", "TLS"),
        ("rediss://h?ssl_keyfile=/k", "ssl_certfile"),
        ("rediss://h?ssl_cert_reqs=maybe", "required or"),
        ("rediss://h?ssl_ca_certs=/a+b", "%2B"),
        ("redis://h?sentinel_password=s3cret", "sentinel"),
        ("redis://:12#34@host", "%23"),
        ("redis://:s3/cret@host", "%2F"),
        ("redis://:12/34@host", "database"),
        ("redis://:12?s3cret@host", "%3F"),
        ("redis://:s3cret%@host", "%25"),
        ("redis://:s3cret%zz@host", "%25"),
        ("redis://:s3cret%ff@host", "UTF-8"),
        ("redis://:s3cret%00@host", "NUL"),
        ("redis://:s3 cret@host", "white space"),
        ("redis://host\n", "white space"),
        ("unix://?db=1", "path"),
        ("unix://path", "path"),
        ("unix:///", "path"),
        (f"unix:///{'a' * 107}", "107"),
        ("unix+cluster:///s", "path"),
        ("http://h", "look like"),
        ("h:6379", "look like"),
        ("", "look like"),
        ("redis+sentinel://a:1", "name of the primary"),
        ("redis+sentinel://a/main/1", "name of the primary"),
        ("redis+sentinel://:s3cret@/main", "host"),
        ("redis+cluster://a,,b", "host"),
        ("redis+cluster://a:s3cret", "port"),
        ("redis+cluster://a/0", "database 0 only"),
        ("redis+cluster://a?db=1", "database 0 only"),
        ("redis+other://a", "look like"),
    ],
)
def test_anything_else_is_refused_without_being_shown(text: str, why: str) -> None:
    """One line with the reason, which quotes nothing: a URL may hold a password, wherever it went
    wrong."""
    with pytest.raises(ValueError, match=r"^not a Redis URL: [^\n]+$") as refused:
        RedisUrl.parse(text)
    assert why in str(refused.value)
    assert "s3cret" not in str(refused.value)
    assert "34" not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_what_it_lists_is_what_it_takes() -> None:
    """Every option of the docs, and no other."""
    section = (REPOSITORY / "docs" / "settings.md").read_text().partition("## Redis URLs")[2]
    rows = section.partition("\n\n**")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", rows, re.M)) == set(OPTIONS)


@pytest.mark.parametrize("name", ["ssl_ca_certs", "ssl_certfile", "ssl_ca_path"])
@pytest.mark.parametrize("holds", [None, "no certificate"])
def test_files_are_looked_at(tmp_path: Path, name: str, holds: str | None) -> None:
    """One that is not there, or is not what it is for, is told before anything is connected to."""
    file = tmp_path / "file"
    if holds:
        file.write_text(holds)
    url = RedisUrl.parse(f"rediss://:s3cret@h?{name}={file}")
    with pytest.raises(ValueError, match=r"^not a Redis URL: a file [^\n]+$"):
        url.check_files()


def test_it_is_shown_without_what_is_secret() -> None:
    """The hosts, not the password."""
    assert "s3cret" not in repr(RedisUrl.parse("redis://u:s3cret@h"))
