"""A login at a provider on its way: to the provider, back, and to the app.

`start` binds all that must come back to one *state*: provider, address to return to, the app's own
PKCE challenge, the nonce, and the verifier for the provider. `callback` uses the state up before it
asks anybody, and gives the app a *grant*. `take` uses that up: it counts only with the verifier of
the app's challenge, so that a grant or a login of somebody else's, slipped into a browser, is none
(RFC 9700, section 4.7), without a cookie.

State and grant are tickets of nobody: `tickets/tickets.py`. What is bound to them is sealed.
"""

import base64
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from service.authentication.password_attempts import PasswordAttempts
from service.errors import (
    InvalidField,
    InvalidGrant,
    InvalidState,
    ProviderFailed,
    ProviderUnavailable,
    RedirectNotAllowed,
    TicketNotFound,
)
from service.openid.client import Flow
from service.openid.providers import Providers
from service.openid.subjects import Subject
from service.rate_limits import RateLimits
from service.sessions.access_tokens import Caller
from service.sessions.origin import RequestOrigin
from service.sessions.upstream import UpstreamLogin, UpstreamSessions
from service.tickets.tickets import Tickets
from service.tickets.tokens import PROVIDER_GRANT, PROVIDER_STATE

STATE_LIFE = timedelta(minutes=10)
GRANT_LIFE = timedelta(seconds=60)

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_LONGEST_VERIFIER = 128
_LONGEST_CODE = 4096
_NO_ROW = 0


class Started(msgspec.Struct, frozen=True):
    """Where to send the person, and until when they may come back."""

    authorization_url: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"Started(expires_at={self.expires_at})"


class _State(msgspec.Struct, frozen=True, array_like=True):
    """What is bound to a state. `caller`: of a link, the session that has begun it."""

    provider: str
    redirect_uri: str
    app_challenge: str
    nonce: str
    verifier: str
    caller: Caller | None = None


class Granted(msgspec.Struct, frozen=True, array_like=True):
    """What is bound to a grant: who it is, and for whom. `audience`: what `take` was asked for."""

    subject: Subject
    login: UpstreamLogin
    app_challenge: str
    caller: Caller | None = None
    audience: str | None = None


class Callback(msgspec.Struct, frozen=True):
    """What a provider has sent a person back with."""

    state: str = ""
    code: str = ""
    error: str = ""
    issuer: str | None = None

    def __repr__(self) -> str:
        return "Callback()"


class ProviderFlow:
    """Sends people to providers and receives them. May raise `StoreUnavailable`."""

    def __init__(
        self,
        providers: Providers,
        tickets: Tickets,
        upstream: UpstreamSessions,
        rate_limits: RateLimits,
        attempts: PasswordAttempts,
        *,
        own_address: str,
        redirects: frozenset[str],
        on_failure: Callable[[str, str], None],
    ) -> None:
        """Take the parts. `own_address`: where we are; `redirects`: where logins may lead back;
        `on_failure` is called with the id of a provider that has failed, and how."""
        self.providers = providers
        self._tickets = tickets
        self._upstream = upstream
        self._rate_limits = rate_limits
        self._attempts = attempts
        self._on_failure = on_failure
        self._own_address = own_address.rstrip("/")
        self._redirects = redirects

    async def start(
        self,
        provider_id: str,
        redirect_uri: str,
        app_challenge: str,
        origin: RequestOrigin,
        caller: Caller | None = None,
    ) -> Started:
        """Begin a login, or for a `caller` a link. `app_challenge`: S256 (RFC 7636, section 4.2).

        Raises:
            ProviderNotFound, RedirectNotAllowed, InvalidField, TooManyAttempts
            ProviderUnavailable
        """
        client = self.providers.named(provider_id)
        if _CHALLENGE.fullmatch(app_challenge) is None:
            raise InvalidField(
                "codeChallenge", "The field codeChallenge must be 43 characters of base64url."
            )
        if redirect_uri not in self._redirects:
            raise RedirectNotAllowed
        await self._attempts.count_network(self._rate_limits.limits.provider_starts, origin)
        await client.prepare()  # of one that is away, nothing is kept
        state = _State(
            provider=provider_id,
            redirect_uri=redirect_uri,
            app_challenge=app_challenge,
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(32),
            caller=caller,
        )
        issued = await self._tickets.issue(
            PROVIDER_STATE, os.urandom(16), _NO_ROW, STATE_LIFE, "", origin, bound=_packed(state)
        )
        url = await client.authorization_url(self._flow(issued.token, state))
        return Started(url, issued.expires_at)

    async def callback(self, provider_id: str, sent: Callback, origin: RequestOrigin) -> str:
        """Receive a person, and return where to send them: with a grant, or an error.

        Raises:
            ProviderNotFound
            InvalidState: nothing says where they came from.
        """
        client = self.providers.named(provider_id)
        state, started = await self._take_state(provider_id, sent.state, origin)
        if sent.error or not sent.code:
            return f"{state.redirect_uri}#error={_error(sent.error)}"
        if len(sent.code) > _LONGEST_CODE:
            return f"{state.redirect_uri}#error=provider_error"
        try:
            subject = await client.authenticate(
                sent.code, sent.issuer, self._flow(sent.state, state)
            )
        except ProviderFailed as error:
            self._on_failure(provider_id, str(error))
            return f"{state.redirect_uri}#error=provider_error"
        except ProviderUnavailable as error:
            self._on_failure(provider_id, str(error))
            return f"{state.redirect_uri}#error=provider_unavailable"
        login = await self._upstream.begin(
            subject.issuer, subject.subject, subject.session, started
        )
        granted = Granted(subject, login, state.app_challenge, state.caller)
        issued = await self._tickets.issue(
            PROVIDER_GRANT, os.urandom(16), _NO_ROW, GRANT_LIFE, "", origin, bound=_packed(granted)
        )
        return f"{state.redirect_uri}#grant={issued.token}"

    async def take(
        self, grant: str, verifier: str, origin: RequestOrigin, audience: str | None = None
    ) -> Granted:
        """Use a grant up, whether its verifier is right or not, for a session of this `audience`.

        Raises:
            InvalidGrant
        """
        try:
            token = self._tickets.recognise(grant, PROVIDER_GRANT)
            ticket = await self._tickets.take(token, GRANT_LIFE, origin)
            granted = msgspec.msgpack.decode(ticket.bound, type=Granted)
        except (TicketNotFound, msgspec.MsgspecError):
            raise InvalidGrant from None
        if len(verifier) > _LONGEST_VERIFIER or not verifier.isascii():
            raise InvalidGrant
        is_apps = hmac.compare_digest(_challenge(verifier), granted.app_challenge)
        if not is_apps or granted.login.is_over:
            raise InvalidGrant
        return msgspec.structs.replace(granted, audience=audience)

    def _flow(self, state_token: str, state: _State) -> Flow:
        return Flow(
            redirect_uri=f"{self._own_address}/auth/oauth/{state.provider}/callback",
            state=state_token,
            nonce=state.nonce,
            verifier=state.verifier,
            challenge=_challenge(state.verifier),
        )

    async def _take_state(
        self, provider_id: str, text: str, origin: RequestOrigin
    ) -> tuple[_State, int]:
        """Use a state up. One of another provider is a mix-up, and gone as well.

        Returns when it was issued besides, ms by Redis' clock."""
        try:
            token = self._tickets.recognise(text, PROVIDER_STATE)
            ticket, issued = await self._tickets.take_with_time(token, STATE_LIFE, origin)
            state = msgspec.msgpack.decode(ticket.bound, type=_State)
        except (TicketNotFound, msgspec.MsgspecError):
            raise InvalidState from None
        if state.provider != provider_id:
            raise InvalidState
        return state, issued


def _error(sent: str) -> str:
    """Name what went wrong at the provider (RFC 6749, section 4.1.2.1): nothing else of it."""
    if sent == "access_denied":
        return sent
    return "provider_unavailable" if sent == "temporarily_unavailable" else "provider_error"


def _packed(value: _State | Granted) -> bytes:
    return msgspec.msgpack.encode(value)


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
