"""Login by an identity at a provider: whose account that is, and what it becomes by it.

    identity known      its account, whatever the address
    address claimed     the account of that address, if its own is verified: the identity joins it.
                        If nobody has verified it, whoever has claimed it takes the account over:
                        password, second factor, sessions, tickets and other identities have ended
    address is taken    `LinkRequired`: who has an account links the identity from within
    else                a new account

*Claimed* means that the provider is trusted with addresses, and says that it has verified it. Where
nobody logs in before their address is verified, only a claimed one makes an account. A take-over
goes as each change that ends sessions (`sessions/cut_offs.py`): who is killed on the way leaves the
account as it was, or taken over and without sessions.
"""

import msgspec

from service.accounts import emails
from service.accounts.emails import EmailAddress
from service.accounts.provider_identities import (
    NO_PASSWORD,
    ProviderIdentities,
    ProviderIdentity,
)
from service.accounts.user_rows import Credentials, User
from service.accounts.users import Users
from service.authentication import provider_scripts
from service.authentication.opening import UpstreamSessionOpening
from service.authentication.password import LoggedIn
from service.authentication.password_attempts import PasswordAttempts
from service.authentication.provider_flow import Granted, ProviderFlow
from service.authentication.provider_links import ProviderLinks
from service.clock import Clock
from service.errors import (
    AccountChanged,
    AccountDisabled,
    EmailNotVerified,
    EmailRequired,
    EmailTaken,
    InvalidField,
    InvalidGrant,
    LinkRequired,
    SignupDisabled,
)
from service.rate_limits import RateLimits
from service.redis.client import RedisClient
from service.sessions.cut_offs import CutOffs
from service.sessions.origin import RequestOrigin
from service.sessions.record import Authentication
from service.sessions.upstream import UpstreamSessions
from service.tickets.tickets import forget_tickets
from service.twofactor.challenges import Challenges, Issued
from service.twofactor.pending import PendingEnrolments

_MOST_READINGS = 5
"""How often is decided by rows that change meanwhile, again and again."""


class SignedUp(LoggedIn, frozen=True):
    """A person whose account has just been made."""


class Linked(msgspec.Struct, frozen=True):
    """A person whose account has got an identity."""

    user: User


Completed = LoggedIn | SignedUp | Issued | Linked


class ProviderAuthentication:
    """Completes logins and links by grants. May raise `StoreUnavailable`."""

    def __init__(
        self,
        redis: RedisClient,
        flow: ProviderFlow,
        links: ProviderLinks,
        users: Users,
        identities: ProviderIdentities,
        challenges: Challenges,
        pending: PendingEnrolments,
        rate_limits: RateLimits,
        attempts: PasswordAttempts,
        cut_offs: CutOffs,
        opening: UpstreamSessionOpening,
        upstream: UpstreamSessions,
        clock: Clock,
        *,
        signup: bool,
        verified_only: bool,
    ) -> None:
        """Take the parts. `verified_only`: nobody logs in before their address is verified."""
        self._redis = redis
        self._flow = flow
        self._links = links
        self._users = users
        self._identities = identities
        self._challenges = challenges
        self._pending = pending
        self._rate_limits = rate_limits
        self._attempts = attempts
        self._cut_offs = cut_offs
        self._opening = opening
        self._upstream = upstream
        self._clock = clock
        self._signup = signup
        self._verified_only = verified_only

    async def complete(
        self, grant: str, verifier: str, origin: RequestOrigin, resource: str | None = None
    ) -> Completed:
        """Use a grant up, and log its person in, or link whom they are to an account.

        The session's access tokens are for `resource`, an audience; `None`: for the default one.

        Raises:
            InvalidTarget: the grant stays good.
            InvalidGrant: it is none any more, its verifier is another, or the session is over for
                which it was to link; or the provider has logged the person out meanwhile.
            EmailRequired, EmailNotVerified, SignupDisabled, LinkRequired, AlreadyLinked
            AccountDisabled, TooManyAttempts (of new accounts from one network)
        """
        self._opening.check_target(resource)
        granted = await self._flow.take(grant, verifier, origin, resource)
        if granted.caller is not None:
            return Linked(await self._links.complete(granted.caller, granted.subject, origin))
        for _ in range(_MOST_READINGS):
            completed = await self._complete(granted, origin)
            if completed is not None:
                return completed
            if await self._upstream.has_ended(granted.login):
                raise InvalidGrant
        raise AccountChanged(b"")

    async def _complete(self, granted: Granted, origin: RequestOrigin) -> Completed | None:
        """Log in by the rows as they are. `None`: they have changed meanwhile."""
        subject = granted.subject
        identity = ProviderIdentity(subject.provider, subject.issuer, subject.subject)
        user_id = await self._identities.user_of(identity)
        if user_id is not None:
            return await self._open_as_stored(user_id, granted, origin)
        address = _address(subject.email)
        if address is None:
            raise EmailRequired
        account = await self._users.find_by_email(address.key)
        if account is None:
            return await self._sign_up(address, identity, granted, origin)
        if not (subject.claimed and emails.is_same_mailbox(address.as_given, account.user.email)):
            raise LinkRequired
        if account.user.disabled_at is not None:
            raise AccountDisabled().about(account.user.id)
        if account.user.email_verified_at is None:
            return await self._take_over(account.user, identity, granted, origin)
        return await self._join(account.user, identity, granted, origin)

    async def _open(
        self, account: Credentials, granted: Granted, origin: RequestOrigin
    ) -> Completed | None:
        """Open a session, or a challenge where a second factor is on."""
        user = account.user
        if user.disabled_at is not None:
            raise AccountDisabled().about(user.id)
        if self._verified_only and user.email_verified_at is None:
            raise EmailNotVerified().about(user.id)
        if account.enrolment_id is not None:
            login, audience = granted.login, granted.audience
            return await self._challenges.issue(
                user.id, account.enrolment_id, user.version, login, audience=audience
            )

        def is_as_read(now: Credentials) -> bool:
            return now.user.version == user.version and now.user.disabled_at is None

        opened = await self._opening.open_upstream(
            granted.login, account, user.version, is_as_read, Authentication.FEDERATED, origin,
            audience=granted.audience,
        )  # fmt: skip
        return None if opened is None else LoggedIn(*opened)

    async def _sign_up(
        self,
        address: EmailAddress,
        identity: ProviderIdentity,
        granted: Granted,
        origin: RequestOrigin,
    ) -> Completed | None:
        if not self._signup:
            raise SignupDisabled
        if self._verified_only and not granted.subject.claimed:
            raise EmailNotVerified
        await self._attempts.count_network(self._rate_limits.limits.signups, origin)
        try:
            user = await self._identities.add_account(
                address, identity, verified=granted.subject.claimed, now=self._clock()
            )
        except EmailTaken:  # a short while ago it was another account's, which may have it back
            raise LinkRequired from None
        if user is None:
            return None
        opened = await self._opening.open_upstream(
            granted.login, Credentials(user, NO_PASSWORD), user.version,
            lambda now: now.user.version == user.version,
            Authentication.FEDERATED, origin, "user.signedUp", audience=granted.audience,
        )  # fmt: skip
        return None if opened is None else SignedUp(*opened)

    async def _join(
        self, user: User, identity: ProviderIdentity, granted: Granted, origin: RequestOrigin
    ) -> Completed | None:
        await self._cut_offs.announce(user.id, origin)
        version = await self._identities.join(user, identity, self._clock(), kind="join")
        if version is None:
            await self._cut_offs.call_off(user.id, origin)
            return None
        await provider_scripts.publish(
            self._redis, user.id, origin, version, "identity.linked", identity.provider
        )
        return await self._open_as_stored(user.id, granted, origin)

    async def _take_over(
        self, user: User, identity: ProviderIdentity, granted: Granted, origin: RequestOrigin
    ) -> Completed | None:
        await self._cut_offs.announce(user.id, origin)
        version = await self._identities.take_over(user, identity, self._clock())
        if version is None:
            await self._cut_offs.call_off(user.id, origin)
            return None
        await self._cut_offs.end_all(
            user.id, origin, event="user.takenOver", reason="provider", row_version=version,
            by=f"provider:{identity.provider}",
        )  # fmt: skip
        await self._pending.forget(user.id)
        await forget_tickets(self._redis, user.id)
        return await self._open_as_stored(user.id, granted, origin)

    async def _open_as_stored(
        self, user_id: bytes, granted: Granted, origin: RequestOrigin
    ) -> Completed | None:
        account = await self._users.credentials(user_id)
        return await self._open(account, granted, origin) if account else None


def _address(email: str) -> EmailAddress | None:
    """Read the address that a provider tells; `None` for none, and for what is none."""
    try:
        return emails.normalize(email)
    except InvalidField:
        return None
