"""What a header may hold, and several of one name; in process."""

import pytest

from service.web.headers import NOSNIFF, is_host, joined


@pytest.mark.parametrize(
    ("value", "may_be"),
    [
        (b"", True), (b"test", True), (b"test:80", True), (b"test:", True), (b":80", True),
        (b"a_b.example.", True), (b"%41b", True), (b"a%41", True), (b"192.0.2.1:80", True),
        (b"[::1]", True), (b"[2001:db8::1]:80", True), (b"[v1.a:b]", True), (b"[V1f.x]", True),
        (b"x" * 512, True), (b"x" * 513, False), (b"[" + b":" * 45 + b"]", True),
        (b"[" + b":" * 46 + b"]", False), (b"[:]", False), (b"[]", False), (b"[::1", False),
        (b"::1", False), (b"a b", False), (b"a/b", False), (b"a@b", False), (b"%4", False),
        (b"%4g", False), (b"a:80:80", False), (b"a:x", False), (b"\xe4", False), (b"a\n", False),
        (b"[v.a]", False), (b"[vg.a]", False), (b"[v1.]", False), (b"a?", False), (b"a#", False),
    ],
)  # fmt: skip
def test_what_a_host_is(value: bytes, may_be: bool) -> None:
    """RFC 3986, section 3.2.2, and RFC 9110, section 7.2; 512 bytes at most."""
    assert is_host(value) is may_be


def test_several_values() -> None:
    """Joined in order: cookies as RFC 9113 has it, all others as RFC 9110."""
    fields = [(b"a", b"1"), (b"cookie", b"x=1"), (b"b", b""), (b"a", b"2"), (b"cookie", b"y=2")]
    assert joined(fields) == {b"a": b"1, 2", b"cookie": b"x=1; y=2", b"b": b""}
    assert joined([(b"b", b""), (b"b", b"")]) == {b"b": b", "}
    assert joined([]) == {}


def test_no_sniffing() -> None:
    """As browsers spell it (the WHATWG's Fetch, section 3.6)."""
    assert NOSNIFF == (b"x-content-type-options", b"nosniff")
