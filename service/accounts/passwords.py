"""Passwords: how they are kept and checked. Which are accepted: `password_policy.py`.

Kept is `bcrypt(base64(HMAC-SHA-384(pepper, NFKC(password))))`. The digest's 64 characters are all
that bcrypt sees, so neither its limit of 72 bytes nor its stop at NUL matters; and without the
pepper, which is not in the users table, a stolen table cannot even be guessed at.
"""

import base64
import hmac
from collections.abc import Mapping

import bcrypt
import msgspec

from service.accounts.folding import normal
from service.accounts.hashing import HashingPool
from service.errors import KeyServiceUnavailable

LONGEST = 1024
"""Characters of a password that is looked at; the policy lets no longer one pass."""


class PasswordHash(msgspec.Struct, frozen=True):
    """What is stored of a password.

    `value` is bcrypt's own text, cost and salt included; `scheme` says which pepper is under it.
    """

    scheme: int
    value: str

    def __repr__(self) -> str:
        return f"PasswordHash(scheme={self.scheme}, value='***')"

    @property
    def is_none(self) -> bool:
        """Whether the account has no password: nothing is that of it."""
        return not self.value

    @property
    def cost(self) -> int:
        """bcrypt's cost, from the text: `$2b$12$...`."""
        return int(self.value[4:6])


class Passwords:
    """Hashes and checks passwords, each with one bcrypt in the pool.

    `peppers` maps schemes to secrets; the highest scheme is used for new hashes.
    """

    def __init__(self, pool: HashingPool, peppers: Mapping[int, bytes], cost: int) -> None:
        self._pool = pool
        self._cost = cost
        self._highest = cost
        self.use(peppers)

    def use(self, peppers: Mapping[int, bytes]) -> None:
        """Hash with the newest of these and check with all of them from now on. None: not yet."""
        self._peppers = dict(peppers)
        self._scheme = max(self._peppers, default=0)

    def expect(self, cost: int) -> None:
        """Note that there are hashes of this cost: each refusal takes as long as the highest."""
        self._highest = max(self._highest, cost)

    @property
    def highest_cost(self) -> int:
        """The highest cost that a stored hash is known to have, or a new one gets."""
        return self._highest

    def check_room(self, network: str = "") -> None:
        """Refuse a password for which there is no room, before its account is looked up.

        `network` is the caller's.

        Raises:
            Overloaded: too many hashes wait already, or the network has its share of them.
            KeyServiceUnavailable: the peppers are not open yet.
        """
        if not self._peppers:
            raise KeyServiceUnavailable("the peppers are not open yet")
        self._pool.check_room(network)

    async def hash(self, password: str, network: str = "") -> PasswordHash:
        """Hash `password`, which the policy has let pass, and return what to store.

        Raises:
            Overloaded: too many hashes wait already.
        """
        return await self._pool.run_for(network, self._hash, password, self._cost)

    async def renew(self, password: str, stored: PasswordHash, network: str = "") -> PasswordHash:
        """Hash `password` anew and return what to store instead of `stored`, which is outdated.

        It is under the newest pepper, and never at a lower cost. Raises as `hash`.
        """
        return await self._pool.run_for(network, self._hash, password, max(self._cost, stored.cost))

    async def verify(self, password: str, stored: PasswordHash | None, network: str = "") -> bool:
        """Tell whether `stored` is the hash of `password`. `None` stands for an unknown account.

        The answer no takes the same time whether the account is unknown, the password wrong, or
        such as no account can have.

        Raises:
            Overloaded: too many hashes wait already.
        """
        return await self._pool.run_for(network, self._matches, password, stored)

    def outdated(self, stored: PasswordHash) -> bool:
        """Tell whether `stored` has another pepper, or a lower cost, than a new hash would have."""
        if stored.is_none:
            return False
        return stored.scheme != self._scheme or stored.cost < self._cost

    def _hash(self, password: str, cost: int) -> PasswordHash:
        digest = self._digest(self._scheme, password)
        value = bcrypt.hashpw(digest, bcrypt.gensalt(cost)).decode("ascii")
        return PasswordHash(self._scheme, value)

    def _matches(self, password: str, stored: PasswordHash | None) -> bool:
        if stored is not None and stored.is_none:
            stored = None
        if stored is not None:
            self.expect(stored.cost)
        highest = self._highest
        if stored is None or not 0 < len(password) <= LONGEST:
            # Not the password: a megabyte of it would take its time.
            self._compare("", self._decoy(highest))
            return False
        if self._compare(password, stored):
            return True
        # A hash of a lower cost was quicker to refuse than the decoy, and would tell that the
        # account exists. Each step doubles the work: c, c+1, ... add up to the rest.
        for cost in range(stored.cost, highest):
            bcrypt.hashpw(b"", bcrypt.gensalt(cost))
        return False

    def _decoy(self, cost: int) -> PasswordHash:
        """Make what looks like a hash, takes as long to check, and is that of no password."""
        return PasswordHash(self._scheme, bcrypt.gensalt(cost).decode("ascii") + "." * 31)

    def _compare(self, password: str, stored: PasswordHash) -> bool:
        digest = self._digest(stored.scheme, password)
        return bcrypt.checkpw(digest, stored.value.encode("ascii"))  # in constant time

    def _digest(self, scheme: int, password: str) -> bytes:
        # surrogatepass: a lone surrogate is a wrong password like any other, not a crash.
        text = normal(password).encode("utf-8", "surrogatepass")
        return base64.b64encode(hmac.digest(self._peppers[scheme], text, "sha384"))
