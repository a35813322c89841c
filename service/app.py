"""The service as an ASGI app: its routes, and what begins and ends with it."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from litestar import Litestar
from litestar.datastructures import State
from litestar.types import ASGIApp

from service import logs
from service.accounts.hashing import HashingPool, usable_cores
from service.accounts.password_costs import PasswordCosts
from service.accounts.passwords import Passwords
from service.accounts.users import Users
from service.clock import system_clock
from service.composition.confirmations import create_heartbeats
from service.composition.operators import operations_beside
from service.composition.people import create_services, metric_sources
from service.composition.rollback import create_rollback
from service.composition.shared import (
    create_password_policy,
    create_posting,
    create_shared,
)
from service.composition.sinks import create_shippers
from service.composition.tracing import Tracing
from service.database.engine import open_database
from service.errors import StoreUnavailable
from service.keyring.kms.selection import open_key_services
from service.keyring.records import KeyLives
from service.keyring.store import KeyStore
from service.keyring.token_key_rotation import TokenKeyRotation
from service.keyring.watch import KeyWatch
from service.openid.providers import Providers
from service.readiness.checks import Parts
from service.readiness.status import Problems, SharedStatus
from service.redis.event_streams import EventStreams
from service.serving.imports import keep_imports
from service.settings import Settings
from service.web import cookies, front_page, openapi
from service.web.addresses import TrustedProxies
from service.web.admin.app import create_admin_app
from service.web.admin.services import AdminServices, install_admin
from service.web.application import Application
from service.web.authentication import answer_options_to_anybody, authenticate
from service.web.cors import Cors
from service.web.direct import DirectRoutes
from service.web.errors import HANDLERS
from service.web.limits import BODY_LIMIT
from service.web.listeners import AdminDispatch
from service.web.metrics.gauges import EVENTS_DROPPED, Gauges, count_mail, install_gauges
from service.web.metrics.logout_tokens import LogoutTokenMetrics
from service.web.metrics.outcomes import ended
from service.web.metrics.sinks import SinkMetrics
from service.web.middleware import RequestMiddleware
from service.web.pages import routes as pages
from service.web.requests import JsonRequest, trusting
from service.web.responses import RouteResponse
from service.web.routes import (
    accounts,
    description,
    email,
    oauth,
    oauth_endpoints,
    oauth_links,
    oauth_logout,
    operations,
    own_account,
    password_reset,
    sessions,
    two_factor,
)
from service.web.services import install

_ROUTES = [
    *accounts.ROUTES,
    *password_reset.ROUTES,
    *email.ROUTES,
    *two_factor.ROUTES,
    *own_account.ROUTES,
    *sessions.ROUTES,
    *oauth_endpoints.ROUTES,
    *oauth.ROUTES,
    *oauth_links.ROUTES,
    *oauth_logout.ROUTES,
    *operations.ROUTES,
    *description.ROUTES,
]

_MAILING = [*password_reset.MAILING, *email.MAILING]


def create_app(settings: Settings) -> ASGIApp:
    """Put the service together as an ASGI app. `settings` must name a Redis and a database."""
    logs.configure(settings.log_level, settings.log_format)

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        policy = create_password_policy(settings)
        engine = open_database(
            settings.database_url.reveal(),
            settings.database_pool,
            timedelta(milliseconds=settings.database_timeout_ms),
        )
        tracing.start()
        rollback = create_rollback(settings)
        await rollback.start()
        redis = tracing.redis_client(rollback)
        pool = HashingPool(usable_cores() // settings.workers)
        watch = KeyWatch(
            KeyStore(engine),
            open_key_services(settings, os.environ),
            system_clock,
            KeyLives(
                access=settings.access_ttl,
                refresh=settings.mac_keys_matter,
                age=settings.key_age,
            ),
            TokenKeyRotation(engine, system_clock),
        )
        keys = await watch.start()
        passwords = Passwords(pool, keys.now.peppers, settings.bcrypt_cost)
        costs = PasswordCosts(engine)
        with suppress(StoreUnavailable):  # it refuses to be written; asked again and again
            await costs.share(passwords)
        marking = rollback.marking(redis, settings.issuer)
        await asyncio.gather(marking.start(), rollback.start_serving())
        users = Users(engine, tracing.reader(engine))
        shared = create_shared(settings, redis, engine, keys, passwords, policy, users)
        posting = create_posting(shared, count_mail)
        problems = Problems(
            keys=lambda: watch.blocking,
            feed=lambda: marking.problem,
            rollback=lambda: rollback.problem,
            mail=lambda: posting.part() if posting else None,
        )
        parts = Parts(redis, engine, settings.kms, problems)
        ready = SharedStatus(parts)
        providers = Providers(settings.oauth_providers, system_clock)
        services = create_services(shared, ready, providers)
        install(app, tracing.services(services))
        if admin is not None:
            operations = AdminServices(operations_beside(shared), services.api_keys)
            install_admin(admin, tracing.services(operations))
        services.sessions.cut_offs.on_ended = ended
        gauges = Gauges(metric_sources(pool, watch, ready, posting, rollback.figures))
        install_gauges(app, gauges)
        heartbeats, beating = create_heartbeats(settings, redis)
        comparisons = rollback.comparisons(redis, settings.issuer, on=settings.feed_kinds >= 3)
        shippers = create_shippers(
            settings, redis, engine, keys, SinkMetrics(), LogoutTokenMetrics()
        )
        streams = EventStreams(
            redis, settings.events_age, EVENTS_DROPPED.inc, shippers.names, settings.events_max
        )
        tasks = (
            shippers.run(),
            streams.run(),
            watch.run(),
            marking.run(),
            costs.follow(passwords),
            users.keep_confirmed(),
            ready.keep_looking(),
            gauges.run(),
            services.guards.run(),
            heartbeats.run(),
            comparisons.run(),
            rollback.run(),
            *([posting.run()] if posting else ()),
        )
        background = [asyncio.create_task(task) for task in tasks]
        yield
        await shared.notices.drain()
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await ready.aclose()
        await services.api_keys.aclose()
        await providers.aclose()
        parts.close()
        await pool.close()
        await beating.aclose()
        await redis.aclose()
        await rollback.aclose()
        await engine.dispose()
        tracing.close()

    tracing = Tracing(settings)
    proxies = TrustedProxies(settings.trusted_proxies)
    admin = None
    if place := settings.admin_bind:
        admin = create_admin_app(proxies, on_unix_socket=bool(place.path))
    app = Application(
        [
            *_ROUTES,
            *(_MAILING if settings.mail_url else []),
            *front_page.ROUTES,
            *(pages.ROUTES if settings.pages else []),
        ],
        lifespan=[lifespan],
        # Not a guard: for a guard, Litestar copies the handler each time.
        before_request=authenticate,
        request_class=JsonRequest,
        response_class=RouteResponse,
        exception_handlers=HANDLERS,
        state=State(
            {
                **openapi.state([*_ROUTES, *_MAILING], _about(settings)),
                **front_page.state(
                    settings.app_name,
                    settings.root_path,
                    has_pages=settings.pages,
                    shows_schema=settings.operations_bind is None,
                ),
                **trusting(proxies),
                **cookies.allowing(settings.origins if settings.cookies else None),
                **pages.state(settings.password_min, has_mail=bool(settings.mail_url)),
            }
        ),
        openapi_config=None,  # its own pages answer in another shape when they find nothing
        request_max_body_size=BODY_LIMIT,
        logging_config=None,
        debug=False,  # whatever LITESTAR_DEBUG says
        pdb_on_exception=False,
    )
    answer_options_to_anybody(app)
    moved = {"/account/": "/account"} if settings.pages else None
    over_tls = settings.issuer.lower().startswith("https://")
    cors = Cors(settings.origins, settings.cookies) if settings.origins else None
    direct = DirectRoutes(app, [*sessions.DIRECT, *two_factor.DIRECT, *oauth_endpoints.DIRECT])
    served: ASGIApp = RequestMiddleware(direct, moved, proxies, over_tls, cors, settings.root_path)
    if admin is not None:
        served = AdminDispatch(served, RequestMiddleware(admin, None, proxies, over_tls))
    return tracing.middleware(served, proxies)


def _about(settings: Settings) -> openapi.About:
    return openapi.About(
        root_path=settings.root_path, cookies=settings.cookies, password_min=settings.password_min
    )


def from_environment() -> ASGIApp:
    """Create the app of a worker process, whose environment the parent has prepared."""
    keep_imports()
    return create_app(Settings.from_environment(os.environ))
