"""Services that live for a whole session of tests; held still while a test has Redis to itself.

Their background tasks write to the Redis that all tests share: the feed's mark, the trimming of
events. A test that has not asked for such a service must not meet what it writes.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from tools.testbed.service_process import ServiceProcess

_LIVING: list[tuple[str, tuple[ServiceProcess, ...]]] = []
"""With the name of the fixture that has started them; two folders may have one of the same name."""


@contextmanager
def living(fixture: str, *services: ServiceProcess) -> Iterator[None]:
    """Tell that these live, as long as the block lasts."""
    entry = fixture, services
    _LIVING.append(entry)
    try:
        yield
    finally:
        _LIVING.remove(entry)


@contextmanager
def standing_still(asked_for: Collection[str]) -> Iterator[None]:
    """Hold all but those of the fixtures that a test has asked for."""
    held = [
        service for fixture, services in _LIVING if fixture not in asked_for for service in services
    ]
    for service in held:
        service.freeze()
    try:
        yield
    finally:
        for service in held:
            service.resume()
