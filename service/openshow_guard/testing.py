"""For the tests of apps: identities, tokens and ends of sessions without Redis or HTTP."""

from .guard.fake_issuer import FakeIssuer, Login, fake_identity

__all__ = ["FakeIssuer", "Login", "fake_identity"]
