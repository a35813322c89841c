"""Services that live for a whole session of tests; they stand still while no test asks for them.

Their background tasks write to the Redis that all tests share: the feed's mark, the trimming of
events. A test that has not asked for such a service must not meet what it writes.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tools.testbed.redis_server import RedisServer
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
        for service in services:
            service.resume()


def lend(fixture: str, service: ServiceProcess) -> Iterator[ServiceProcess]:
    """Start a service and lend it to those who ask for this fixture; then stop it, in order."""
    service.start()
    with living(fixture, service):
        yield service
    assert service.stop() == 0


def wake_those_asked_for(request: pytest.FixtureRequest, redis_server: object) -> None:
    """Let those go on that a test asks for, and hold all others, until another test asks.

    A service on this server that no fixture has told of is a defect of the tests.
    """
    asked_for = [
        request.getfixturevalue(fixture)
        for fixture in {fixture for fixture, _ in _LIVING}
        if fixture in request.fixturenames
    ]
    awake = [
        service
        for value in asked_for
        for service in (value if isinstance(value, list) else [value])
    ]
    for service in _told_of():
        if any(service is each for each in awake):
            service.resume()
        else:
            service.freeze()
    untold = [str(service.directory) for service in _untold(redis_server)]
    assert not untold, f"these services run beside the test: {untold}"


def end_untold(redis_server: object) -> list[str]:
    """Kill those that a test has left behind on this server, as one does that fails, and name them.

    Else they would run beside all tests that come after it.
    """
    left = _untold(redis_server)
    for service in left:
        service.kill()
    return [str(service.directory) for service in left]


def _told_of() -> list[ServiceProcess]:
    return [service for _, services in _LIVING for service in services]


def _untold(redis_server: object) -> list[ServiceProcess]:
    told_of = _told_of()
    return [
        service
        for service in ServiceProcess.running()
        if not any(service is each for each in told_of) and _is_on(redis_server, service)
    ]


def _is_on(redis_server: object, service: ServiceProcess) -> bool:
    return isinstance(redis_server, RedisServer) and str(redis_server.directory / "redis.sock") in (
        service.redis_url.reveal()
    )
