"""The app of operators' HTTP."""

from litestar import Litestar
from litestar.datastructures import State

from service.web import openapi
from service.web.addresses import TrustedProxies
from service.web.admin import api_keys, relying_parties, sessions, users
from service.web.admin.requests import AdminRequest, authenticate
from service.web.application import Application
from service.web.authentication import answer_options_to_anybody
from service.web.errors import HANDLERS
from service.web.limits import BODY_LIMIT
from service.web.requests import trusting
from service.web.responses import RouteResponse
from service.web.routes import description

DOCUMENT = openapi.About(
    title="OpenShow Auth for operators",
    description="What openshow-auth does on the command line, with API keys.",
    credential="API key",
    request_class=AdminRequest,
)


def create_admin_app(proxies: TrustedProxies, *, on_unix_socket: bool) -> Litestar:
    """Put the app together. API keys are managed `on_unix_socket` only."""
    routes = [*users.ROUTES, *sessions.ROUTES, *relying_parties.ROUTES, *description.ROUTES]
    if on_unix_socket:
        routes += api_keys.ROUTES
    app = Application(
        [*routes],
        before_request=authenticate,
        request_class=AdminRequest,
        response_class=RouteResponse,
        exception_handlers=HANDLERS,
        state=State({**openapi.state(routes, DOCUMENT), **trusting(proxies)}),
        openapi_config=None,
        request_max_body_size=BODY_LIMIT,
        logging_config=None,
        debug=False,
        pdb_on_exception=False,
    )
    answer_options_to_anybody(app)
    return app
