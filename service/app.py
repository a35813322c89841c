"""The only place where the parts are put together."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from litestar import Litestar
from litestar.datastructures import State
from litestar.types import ASGIApp
from sqlalchemy.ext.asyncio import AsyncEngine

from service import logs
from service.accounts.blocklist import Blocklist
from service.accounts.hashing import HashingPool, usable_cores
from service.accounts.password_costs import PasswordCosts
from service.accounts.password_policy import PasswordPolicy
from service.accounts.passwords import Passwords
from service.accounts.second_factors import SecondFactors
from service.accounts.users import Users
from service.authentication.identity import Identities
from service.authentication.owners import OwnerLookup
from service.authentication.password import PasswordAuthentication
from service.authentication.second_factor import SecondFactorAuthentication
from service.clock import system_clock
from service.database.engine import open_database
from service.errors import StoreUnavailable
from service.keyring.keys import KeysInUse, ServiceKeys
from service.keyring.kms.selection import open_key_services
from service.keyring.records import KeyLives
from service.keyring.service_key_rotation import ServiceKeyRotation
from service.keyring.store import KeyStore
from service.keyring.watch import KeyWatch
from service.rate_limits import Limit, Limits, RateLimits
from service.readiness.look import Problems, Readiness, SharedLook
from service.readiness.parts import Parts
from service.redis.client import Bounds, RedisClient
from service.redis.event_streams import EventStreams
from service.redis.feed_marking import FeedMarking
from service.redis.node import Timing
from service.redis.probe import refuse_without_rights
from service.sessions.access_tokens import AccessTokens
from service.sessions.refresh_tokens import RefreshTokens
from service.sessions.sessions import Lives, Owners, Sessions
from service.settings import Settings
from service.twofactor.challenges import Challenges
from service.twofactor.enrolment import Enrolments
from service.twofactor.management import SecondFactorManagement
from service.twofactor.pending import PendingEnrolments
from service.twofactor.recovery_codes import RecoveryDigests
from service.web import metrics, openapi
from service.web.errors import HANDLERS
from service.web.limits import BODY_LIMIT
from service.web.middleware import RequestMiddleware
from service.web.pages.routes import ROUTES as PAGES
from service.web.requests import JsonRequest, admit, trusting
from service.web.responses import RouteResponse
from service.web.routes import accounts, operations, sessions, two_factor
from service.web.services import Services, install

_ROUTES = [
    accounts.signup,
    accounts.login,
    accounts.login_second_step,
    two_factor.enable,
    two_factor.verify,
    two_factor.disable,
    two_factor.renew_recovery_codes,
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
        policy = _password_policy(settings)
        engine = open_database(
            settings.database_url.reveal(),
            settings.database_pool,
            timedelta(milliseconds=settings.database_timeout_ms),
        )
        redis = create_redis_client(settings)
        pool = HashingPool(usable_cores() // settings.workers)
        watch = KeyWatch(
            KeyStore(engine),
            open_key_services(settings, os.environ),
            system_clock,
            KeyLives(
                access=settings.access_ttl, refresh=settings.refresh_ttl, age=settings.key_age
            ),
            ServiceKeyRotation(engine, system_clock),
        )
        keys = await watch.start()
        passwords = Passwords(pool, keys.now.peppers, settings.bcrypt_cost)
        costs = PasswordCosts(engine)
        with suppress(StoreUnavailable):  # it refuses to be written; asked again and again
            await costs.share(passwords)
        marking = FeedMarking(redis, settings.issuer)
        await marking.start()
        problems = Problems(keys=lambda: watch.blocking, feed=lambda: marking.problem)
        parts = Parts(redis, engine, settings.kms, problems)
        ready = SharedLook(parts)
        users = Users(engine)
        install(app, _services(settings, redis, engine, passwords, policy, keys, ready, users))
        streams = EventStreams(redis, settings.events_age, metrics.EVENTS_DROPPED.inc)
        tasks = (
            streams.run(),
            watch.run(),
            marking.run(),
            costs.follow(passwords),
            users.keep_confirmed(),
            ready.begin(),
        )
        background = [asyncio.create_task(task) for task in tasks]
        # What exists now lives on; leaving it out of every collection halves the slowest requests.
        # A request makes few cycles: looking for them less often takes 4 % from each.
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 20)
        yield
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await ready.aclose()
        parts.close()
        await pool.close()
        await redis.aclose()
        await engine.dispose()

    return RequestMiddleware(
        Litestar(
            [*_ROUTES, *(PAGES if settings.pages else [])],
            lifespan=[lifespan],
            before_request=admit,  # not a guard: for a guard, Litestar copies the handler each time
            request_class=JsonRequest,
            response_class=RouteResponse,
            exception_handlers=HANDLERS,
            state=State({**openapi.state(_ROUTES), **trusting(settings.trusted_proxies)}),
            openapi_config=None,  # its own pages answer in another shape when they find nothing
            request_max_body_size=BODY_LIMIT,
            logging_config=None,
            debug=False,  # whatever LITESTAR_DEBUG says
            pdb_on_exception=False,
        ),
        moved={"/account/": "/account"} if settings.pages else None,
    )


def from_environment() -> ASGIApp:
    """The app of a worker process, whose environment the parent has prepared."""
    return create_app(Settings.from_environment(os.environ))


def create_redis_client(settings: Settings) -> RedisClient:
    """The way to the Redis that the settings name."""
    timing = Timing(
        timedelta(milliseconds=settings.redis_connect_timeout_ms),
        timedelta(milliseconds=settings.redis_reply_timeout_ms),
    )
    bounds = Bounds(settings.events_max, settings.limit_calls if settings.rate_limit else None)
    replicas = settings.redis_min_replicas
    return RedisClient(
        settings.redis_url, replicas, timing, settings.issuer, bounds, refuse_without_rights
    )


def create_access_tokens(settings: Settings, keys: ServiceKeys) -> AccessTokens:
    """The access tokens that the service mints and accepts."""
    return AccessTokens(
        keys.signing,
        issuer=settings.issuer,
        audience=settings.audience,
        life=settings.access_ttl,
        clock=system_clock,
    )


def create_refresh_tokens(keys: ServiceKeys) -> RefreshTokens:
    """The refresh tokens that the service mints and recognises."""
    return RefreshTokens(keys.refresh_mac_keys, keys.refresh_mac_current)


def create_sessions(
    settings: Settings,
    redis: RedisClient,
    access_tokens: AccessTokens,
    refresh_tokens: RefreshTokens,
    owners: Owners | None = None,
) -> Sessions:
    """The sessions in the Redis that `link` leads to. Without `owners` nobody asks for those."""
    return Sessions(
        redis,
        refresh_tokens,
        access_tokens,
        Lives(settings.refresh_ttl, settings.refresh_idle_ttl, settings.refresh_grace),
        settings.max_sessions,
        *([owners] if owners else []),
    )


def _limits(settings: Settings) -> Limits:
    on = settings.rate_limit
    return Limits(
        account_network=Limit.at("account-network", settings.limit_account_network),
        account=Limit.at("account", settings.limit_account),
        network=Limit.at("network", settings.limit_network) if on else None,
        signups=Limit.at("signups", settings.limit_signups) if on else None,
        codes=Limit.at("codes", settings.limit_codes),
        calls=Limit.at("calls", settings.limit_calls) if on else None,
    )


def _password_policy(settings: Settings) -> PasswordPolicy:
    file = settings.password_blocklist
    return PasswordPolicy(
        settings.password_min, settings.app_name, Blocklist(file) if file else None
    )


def _services(
    settings: Settings,
    redis: RedisClient,
    engine: AsyncEngine,
    passwords: Passwords,
    policy: PasswordPolicy,
    keys: KeysInUse,
    ready: Callable[[], Awaitable[Readiness]] | None = None,
    users: Users | None = None,
) -> Services:
    users, factors = users or Users(engine), SecondFactors(engine)
    rate_limits = RateLimits(redis, keys.now.email_digest_key, _limits(settings))
    digests = RecoveryDigests(keys.now.peppers)
    challenges = Challenges(redis, settings.challenge_ttl)
    access_tokens = create_access_tokens(settings, keys.now)
    refresh_tokens = create_refresh_tokens(keys.now)
    owners = OwnerLookup(users)
    sessions_ = create_sessions(settings, redis, access_tokens, refresh_tokens, owners)

    def use(now: ServiceKeys) -> None:
        access_tokens.use(now.signing)
        refresh_tokens.use(now.refresh_mac_keys, now.refresh_mac_current)
        passwords.use(now.peppers)
        digests.use(now.peppers)
        rate_limits.use(now.email_digest_key)

    keys.follow(use)
    authentication = PasswordAuthentication(
        users,
        passwords,
        policy,
        rate_limits,
        sessions_,
        challenges,
        fair_to_networks=settings.rate_limit,
        clock=system_clock,
    )
    enrolments = Enrolments(
        PendingEnrolments(redis, keys.keyring, settings.enrollment_ttl),
        factors,
        keys.keyring,
        digests,
        rate_limits,
        app_name=settings.app_name,
        clock=system_clock,
    )

    return Services(
        accounts=authentication,
        second_step=SecondFactorAuthentication(
            redis,
            users,
            factors,
            challenges,
            rate_limits,
            sessions_,
            keys.keyring,
            digests,
            system_clock,
        ),
        identities=Identities(sessions_, users),
        enrolments=enrolments,
        second_factor=SecondFactorManagement(
            redis, factors, keys.keyring, digests, rate_limits, system_clock
        ),
        sessions=sessions_,
        access_tokens=access_tokens,
        jwks=lambda: keys.now.signing.jwks(),
        readiness=ready or SharedLook(Parts(redis, engine, settings.kms)),
    )
