"""Has the security log told of the people that a route refuses."""

import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from service.errors import ServiceError
from service.web.requests import JsonRequest, origin_of
from service.web.services import services_of

Handler = TypeVar("Handler", bound=Callable[..., Awaitable[Any]])


def refusals_audited(door: str) -> Callable[[Handler], Handler]:
    """Declare a handler whose refusals are audit events, which name this `door`.

    The answer waits until they are written, and is the same if they cannot be.
    """

    def declare(handler: Handler) -> Handler:
        @functools.wraps(handler)
        async def audited(request: JsonRequest, **named: Any) -> Any:
            try:
                return await handler(request=request, **named)
            except ServiceError as error:
                caller = request.scope.get("user")
                await services_of(request.app).security_log.refused(
                    door, error, origin_of(request), caller.user_id if caller else b""
                )
                raise

        return audited  # type: ignore[return-value]  # of the same signature: wraps() has it show

    return declare
