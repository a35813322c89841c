"""The only place where the parts are put together."""

import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar import Litestar
from litestar.types import ASGIApp
from sqlalchemy.ext.asyncio import AsyncEngine

from service import logs
from service.accounts.hashing import HashingPool
from service.accounts.passwords import Passwords
from service.accounts.users import Users
from service.authentication.attempts import Attempts
from service.authentication.password import PasswordAuthentication
from service.clock import system_clock
from service.database.engine import open_database
from service.keyring.local import LocalKeyFile
from service.keyring.store import KeyStore, ServiceKeys
from service.keyspace.link import Link
from service.readiness import Readiness, readiness
from service.sessions.access_tokens import AccessTokens
from service.sessions.refresh_tokens import RefreshTokens
from service.sessions.sessions import Lives, Sessions
from service.settings import Settings
from service.web import openapi
from service.web.errors import HANDLERS
from service.web.outermost import Outermost
from service.web.requests import BODY_LIMIT, JsonRequest, admit
from service.web.routes import accounts, operations, sessions
from service.web.services import Services, install

_ROUTES = [
    accounts.signup,
    accounts.login,
    sessions.refresh,
    sessions.me,
    sessions.logout,
    sessions.logout_all,
    sessions.list_sessions,
    sessions.end_session,
    operations.jwks,
    operations.live,
    operations.ready,
    operations.metrics,
    operations.schema_page,
    operations.schema_document,
]


def create_app(settings: Settings) -> ASGIApp:
    """The service as an ASGI app. `settings` must name a Redis and a database."""
    logs.configure(settings.log_level)

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        engine = open_database(settings.database_url.reveal())
        link = Link(settings.redis_url)
        pool = HashingPool()
        provider = LocalKeyFile.at(settings.data_dir, settings.kms_local_key_file)
        keys = await KeyStore(engine).load(provider, system_clock)
        install(app, _services(settings, link, engine, pool, keys))
        # What exists now lives on; leaving it out of every collection halves the slowest requests.
        gc.collect()
        gc.freeze()
        yield
        await pool.close()
        await link.aclose()
        await engine.dispose()

    return Outermost(
        Litestar(
            _ROUTES,
            lifespan=[lifespan],
            before_request=admit,  # not a guard: for a guard, Litestar copies the handler each time
            request_class=JsonRequest,
            exception_handlers=HANDLERS,
            state=openapi.state(_ROUTES),
            openapi_config=None,  # its own pages answer in another shape when they find nothing
            request_max_body_size=BODY_LIMIT,
            logging_config=None,
            debug=False,  # whatever LITESTAR_DEBUG says
            pdb_on_exception=False,
        )
    )


def from_environment() -> ASGIApp:
    """The app of a worker process, whose environment the parent has prepared."""
    return create_app(Settings.from_environment(os.environ))


def _services(
    settings: Settings, link: Link, engine: AsyncEngine, pool: HashingPool, keys: ServiceKeys
) -> Services:
    users = Users(engine)
    access_tokens = AccessTokens(
        keys.signing,
        issuer=settings.issuer,
        audience=settings.audience,
        life=settings.access_ttl,
        clock=system_clock,
    )
    sessions_ = Sessions(
        link,
        RefreshTokens(keys.refresh_mac_keys, keys.refresh_mac_current),
        access_tokens,
        Lives(settings.refresh_ttl, settings.refresh_idle_ttl, settings.refresh_grace),
        settings.max_sessions,
    )
    authentication = PasswordAuthentication(
        users,
        Passwords(pool, keys.peppers, settings.bcrypt_cost),
        Attempts(link, keys.email_digest_key),
        sessions_,
        limit_networks=settings.rate_limit,
        clock=system_clock,
    )

    async def ready() -> Readiness:
        return await readiness(link, engine, settings.kms)

    return Services(
        accounts=authentication,
        users=users,
        sessions=sessions_,
        access_tokens=access_tokens,
        jwks=keys.signing.jwks(),
        readiness=ready,
    )
