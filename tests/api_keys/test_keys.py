"""What an API key can be."""

from datetime import timedelta

import pytest

from service.api_keys.keys import expiry_of, name_of, scopes_of
from service.clock import system_clock
from service.errors import InvalidField


def test_what_a_key_can_be() -> None:
    """Names that can be seen, scopes that there are, an end in the future."""
    now = system_clock()
    for wrong in ("", " ", "a\nb", "x" * 101):
        with pytest.raises(InvalidField):
            name_of(wrong)
    for scopes in ([], ["users"], ["users.read", ""], ["*"]):
        with pytest.raises(InvalidField):
            scopes_of(scopes)
    assert scopes_of(["introspect", "users.read", "introspect"]) == ("users.read", "introspect")
    for moment in (now, now - timedelta(days=1), now + timedelta(days=4000)):
        with pytest.raises(InvalidField):
            expiry_of(moment, now)
