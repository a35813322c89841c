"""The plugin for pytest, with the fixture `fake_issuer`."""

from .guard.pytest_plugin import fake_issuer

__all__ = ["fake_issuer"]
