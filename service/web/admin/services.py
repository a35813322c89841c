"""The use cases that the routes of operators call, put together in `app.py` when it starts."""

import msgspec
from litestar import Litestar

from service.api_keys.verification import ApiKeys
from service.operators.operations import Operations


class AdminServices(msgspec.Struct, frozen=True):
    """The use cases of operators, and the keys by which they are known."""

    does: Operations
    keys: ApiKeys


_KEY = "admin"


def install_admin(app: Litestar, services: AdminServices) -> None:
    """Give `services` to the routes of `app`."""
    app.state[_KEY] = services


def admin_services_of(app: Litestar) -> AdminServices:
    """Return the services that were installed."""
    services: AdminServices = app.state[_KEY]
    return services
