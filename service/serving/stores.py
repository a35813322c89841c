"""Makes both stores ready, before anything is served from them."""

from collections.abc import Callable

from service.database.migration import migrate
from service.redis.node import Timing
from service.redis.requirements import check_server
from service.serving.stoppable import run_unless_stopped
from service.settings import Settings

_USER_STORE = "the user store (SERVICE_DATABASE_URL)"


def prepare(settings: Settings, stop_asked: Callable[[], bool], *, is_alone: bool) -> None:
    """Check Redis, and bring the user store's tables up to date.

    `is_alone`: this process has started Redis itself, so of those that used it before none runs.

    Raises:
        StartupError: one of them cannot be used.
        StartStopped: it was asked to stop before both had answered.
    """
    run_unless_stopped(
        check_server(settings.redis_url, settings.issuer, Timing.of(settings)),
        stop_asked,
        "Redis (SERVICE_REDIS_URL)",
    )
    migrate(
        settings.database_url.reveal(),
        run=lambda work: run_unless_stopped(work, stop_asked, _USER_STORE),
    )
    if is_alone and settings.redis_rollback != "off":
        from service.composition.rollback import forget_processes

        run_unless_stopped(forget_processes(settings), stop_asked, _USER_STORE)
