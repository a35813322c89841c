"""The identities that are linked to an account: adding one from within, and taking it away."""

from collections.abc import Sequence

from service.accounts.provider_identities import (
    LinkedIdentity,
    ProviderIdentities,
    ProviderIdentity,
)
from service.accounts.user_rows import User
from service.authentication import provider_scripts
from service.authentication.identity import Identities
from service.authentication.provider_flow import ProviderFlow, Started
from service.authentication.recent import RecentAuthentication
from service.clock import Clock
from service.errors import (
    AccountChanged,
    AlreadyLinked,
    InvalidAccessToken,
    InvalidGrant,
    LastLoginMethod,
    NotLinked,
)
from service.openid.subjects import Subject
from service.redis.client import RedisClient
from service.sessions.access_tokens import Caller
from service.sessions.cut_offs import CutOffs
from service.sessions.origin import RequestOrigin

_MOST_READINGS = 5


class ProviderLinks:
    """Links and unlinks identities. May raise `StoreUnavailable`."""

    def __init__(
        self,
        redis: RedisClient,
        flow: ProviderFlow,
        sessions: Identities,
        recent: RecentAuthentication,
        identities: ProviderIdentities,
        cut_offs: CutOffs,
        clock: Clock,
    ) -> None:
        self._redis = redis
        self._flow = flow
        self._sessions = sessions
        self._recent = recent
        self._identities = identities
        self._cut_offs = cut_offs
        self._clock = clock

    async def of(self, caller: Caller) -> Sequence[LinkedIdentity]:
        """List the identities of the caller's account.

        Raises:
            InvalidAccessToken
        """
        identity = await self._sessions.of(caller)
        return await self._identities.of_user(identity.user.id)

    async def start(
        self,
        caller: Caller,
        provider_id: str,
        redirect_uri: str,
        app_challenge: str,
        origin: RequestOrigin,
    ) -> Started:
        """Begin a link for a caller who has proved a short while ago who they are.

        Raises:
            InvalidAccessToken, AuthenticationNotRecent
            AlreadyLinked: the account has an identity of this provider.
            And as `ProviderFlow.start`.
        """
        identity = await self._sessions.of(caller, as_stored=True)
        provider = self._flow.providers.named(provider_id).provider
        await self._recent.demand(identity)
        if await self._identities.has_of(caller.user_id, provider.id, provider.issuer):
            raise AlreadyLinked
        return await self._flow.start(provider_id, redirect_uri, app_challenge, origin, caller)

    async def complete(self, caller: Caller, subject: Subject, origin: RequestOrigin) -> User:
        """Link an identity to the account whose session has begun it, while that lives.

        Raises:
            InvalidGrant: the session has ended.
            AlreadyLinked: the identity has an account, or the account one of this provider.
        """
        identity = ProviderIdentity(subject.provider, subject.issuer, subject.subject)
        for _ in range(_MOST_READINGS):
            try:
                user = (await self._sessions.of(caller, as_stored=True)).user
            except InvalidAccessToken:
                raise InvalidGrant from None
            if await self._identities.user_of(identity) is not None:
                raise AlreadyLinked
            if await self._identities.has_of(user.id, identity.provider, identity.issuer):
                raise AlreadyLinked
            await self._cut_offs.announce(user.id, origin)
            version = await self._identities.join(user, identity, self._clock(), kind="link")
            if version is not None:
                await provider_scripts.publish(
                    self._redis, user.id, origin, version, "identity.linked", identity.provider
                )
                return user
            await self._cut_offs.call_off(user.id, origin)
        raise AccountChanged(b"")

    async def unlink(self, caller: Caller, provider_id: str, origin: RequestOrigin) -> None:
        """Take the caller's identities of this provider away. Their sessions go on.

        Raises:
            InvalidAccessToken, AuthenticationNotRecent, ProviderNotFound
            NotLinked, LastLoginMethod
        """
        identity = await self._sessions.of(caller, as_stored=True)
        provider = self._flow.providers.named(provider_id).provider
        await self._recent.demand(identity)
        for _ in range(_MOST_READINGS):
            user = identity.user
            await self._cut_offs.announce(user.id, origin)
            outcome = await self._identities.unlink(user, provider.id, provider.issuer)
            if isinstance(outcome, int):
                await provider_scripts.publish(
                    self._redis, user.id, origin, outcome, "identity.unlinked", provider.id
                )
                return
            await self._cut_offs.call_off(user.id, origin)
            if outcome == "not linked":
                raise NotLinked
            if outcome == "last":
                raise LastLoginMethod
            identity = await self._sessions.of(caller, as_stored=True)
        raise AccountChanged(b"")
