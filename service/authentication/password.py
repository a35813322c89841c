"""Sign-up and login with e-mail and password."""

from contextlib import AbstractAsyncContextManager, suppress

import msgspec

from service.accounts import emails
from service.accounts.passwords import Passwords, check_policy
from service.accounts.users import Credentials, User, Users
from service.attempts import Attempts, Counter, Limit
from service.clock import Clock
from service.errors import EmailTaken, InvalidCredentials, Overloaded, StoreUnavailable
from service.keyspace.keys import ACCOUNT_WINDOW, NETWORK_WINDOW, PASSWORD_WINDOW, SIGNUP_WINDOW
from service.sessions.client import Client, network
from service.sessions.record import Authentication
from service.sessions.sessions import Sessions
from service.sessions.token_pair import TokenPair
from service.twofactor.challenges import Challenges, Issued

_ACCOUNT_FROM_NETWORK = Limit("account-network", 10, PASSWORD_WINDOW)
_ACCOUNT = Limit("account", 100, ACCOUNT_WINDOW)
_NETWORK = Limit("network", 300, NETWORK_WINDOW)
_SIGNUPS = Limit("signups", 600, SIGNUP_WINDOW)


class LoggedIn(msgspec.Struct, frozen=True):
    """A person and the tokens of the session that they have just opened."""

    user: User
    tokens: TokenPair


class PasswordAuthentication:
    """The two doors that take a password. Any may raise `StoreUnavailable` or `Overloaded`."""

    def __init__(
        self,
        users: Users,
        passwords: Passwords,
        attempts: Attempts,
        sessions: Sessions,
        challenges: Challenges,
        *,
        limit_networks: bool,
        clock: Clock,
    ) -> None:
        self._users = users
        self._passwords = passwords
        self._attempts = attempts
        self._sessions = sessions
        self._challenges = challenges
        self._limit_networks = limit_networks
        self._clock = clock

    async def sign_up(self, email: str, password: str, client: Client) -> LoggedIn:
        """Add an account and open its first session.

        Tries are limited per network, and counted before the account is looked up: the answer
        "taken" tells who has an account here.

        Raises:
            InvalidField, WeakPassword, EmailTaken, TooManyAttempts
        """
        self._passwords.check_room()
        address = emails.normalize(email)
        check_policy(password)
        counters = self._network_counters(_SIGNUPS, client)
        if counters:
            await self._attempts.count(counters[0].subject, counters)
        if await self._users.find_by_email(address.key):
            raise EmailTaken
        password_hash = await self._passwords.hash(password)
        user = await self._users.add(address, password_hash, self._clock())
        tokens = await self._sessions.open(
            user.id, Authentication.PASSWORD, "user.signedUp", client
        )
        return LoggedIn(user, tokens)

    async def log_in(self, email: str, password: str, client: Client) -> LoggedIn | Issued:
        """Check a password, then open a session, or a challenge where a second factor is on.

        Unknown e-mail and wrong password are one answer.

        Raises:
            InvalidCredentials, TooManyAttempts
        """
        self._passwords.check_room()
        key = emails.lookup_key(email)
        account = self._attempts.subject("account", key)
        async with (
            self._attempts.guarding(account, self._account_counters(account, client)),
            self._guarding_network(client),
        ):
            credentials = await self._users.find_by_email(key)
            stored = credentials.password if credentials else None
            right = await self._passwords.verify(password, stored)
            if credentials is None or not right:
                raise InvalidCredentials
        await self._renew_hash(credentials, password)
        user = credentials.user
        if credentials.enrolment_id is not None:
            return await self._challenges.issue(user.id, credentials.enrolment_id)
        tokens = await self._sessions.open(
            user.id, Authentication.PASSWORD, "user.loggedIn", client, user.version
        )
        return LoggedIn(user, tokens)

    async def _renew_hash(self, credentials: Credentials, password: str) -> None:
        """Bring a hash up to today's cost and pepper, now that the password is at hand."""
        if not self._passwords.outdated(credentials.password):
            return
        with suppress(Overloaded, StoreUnavailable):  # at the next login, then
            renewed = await self._passwords.hash(password)
            await self._users.replace_password_hash(
                credentials.user.id, credentials.password, renewed
            )

    def _account_counters(self, account: bytes, client: Client) -> list[Counter]:
        from_here = self._attempts.subject(
            "account from network", account.hex(), network(client.address)
        )
        return [Counter(_ACCOUNT_FROM_NETWORK, from_here), Counter(_ACCOUNT, account)]

    def _network_counters(self, limit: Limit, client: Client) -> list[Counter]:
        """One counter, or none where networks are not limited or the address is not known."""
        if not self._limit_networks or client.address is None:
            return []
        return [Counter(limit, self._attempts.subject("network", network(client.address)))]

    def _guarding_network(self, client: Client) -> AbstractAsyncContextManager[None]:
        counters = self._network_counters(_NETWORK, client)
        return self._attempts.guarding(counters[0].subject if counters else b"", counters)
