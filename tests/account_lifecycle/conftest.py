"""Pods in this process."""

from tests.twofactor.conftest import pods, sqlite_threads_end  # noqa: F401  one is autouse
