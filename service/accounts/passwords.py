"""Passwords: which ones are accepted, and how they are kept and checked.

Kept is `bcrypt(base64(HMAC-SHA-384(pepper, NFKC(password))))`. The digest's 64 characters are all
that bcrypt sees, so neither its limit of 72 bytes nor its stop at NUL matters; and without the
pepper, which is not in the users table, a stolen table cannot even be guessed at.
"""

import base64
import hmac
import unicodedata
from collections.abc import Mapping

import bcrypt
import msgspec
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from service.accounts.hashing import HashingPool
from service.errors import InvalidField, KeyServiceUnavailable, WeakPassword

SHORTEST = 8
LONGEST = 1024


def _folded(password: str) -> str:
    return unicodedata.normalize("NFKC", password).casefold()


COMMON = frozenset(_folded(password) for password in FREQUENCY_LISTS["passwords"][:3000])


class PasswordHash(msgspec.Struct, frozen=True):
    """What is stored of a password.

    `value` is bcrypt's own text, cost and salt included; `scheme` says which pepper is under it.
    """

    scheme: int
    value: str

    def __repr__(self) -> str:
        return f"PasswordHash(scheme={self.scheme}, value='***')"

    @property
    def cost(self) -> int:
        """bcrypt's cost, from the text: `$2b$12$...`."""
        return int(self.value[4:6])


def check_policy(password: str) -> None:
    """Decide whether a new password may be used. Its length is counted as sent, in characters.

    Raises:
        InvalidField: longer than 1,024 characters.
        WeakPassword: shorter than 8, or one of the 3,000 most common, in whatever case.
    """
    if len(password) > LONGEST:
        raise InvalidField("password", f"The password is longer than {LONGEST:,} characters.")
    if len(password) < SHORTEST:
        raise WeakPassword(f"The password is too short: use at least {SHORTEST} characters.")
    if _folded(password) in COMMON:
        raise WeakPassword("The password is one of the most common ones: choose another.")


class Passwords:
    """Hashes and checks passwords, each with one bcrypt in the pool.

    `peppers` maps schemes to secrets; the highest scheme is used for new hashes.
    """

    def __init__(self, pool: HashingPool, peppers: Mapping[int, bytes], cost: int) -> None:
        self._pool = pool
        self._cost = cost
        self.use(peppers)

    def use(self, peppers: Mapping[int, bytes]) -> None:
        """Hash with the newest of these and check with all of them from now on. None: not yet."""
        self._peppers = dict(peppers)
        self._scheme = max(self._peppers, default=0)
        # Looks like a hash at today's cost, takes as long to check, and is that of no password.
        self._decoy = PasswordHash(
            self._scheme, bcrypt.gensalt(self._cost).decode("ascii") + "." * 31
        )

    def check_room(self) -> None:
        """Ask before a password's account is looked up.

        Raises:
            Overloaded: too many hashes wait already.
            KeyServiceUnavailable: the peppers are not open yet.
        """
        if not self._peppers:
            raise KeyServiceUnavailable("the peppers are not open yet")
        self._pool.check_room()

    async def hash(self, password: str) -> PasswordHash:
        """What to store for `password`, which `check_policy` has let pass.

        Raises:
            Overloaded: too many hashes wait already.
        """
        return await self._pool.run(self._hash, password)

    async def verify(self, password: str, stored: PasswordHash | None) -> bool:
        """Whether `stored` is the hash of `password`. `None` stands for an unknown account.

        The answer no takes the same time whether the account is unknown, the password wrong, or
        such as no account can have.

        Raises:
            Overloaded: too many hashes wait already.
        """
        return await self._pool.run(self._matches, password, stored)

    def outdated(self, stored: PasswordHash) -> bool:
        """Whether `stored` was made with another cost or pepper than a new hash would be."""
        return stored.scheme != self._scheme or stored.cost != self._cost

    def _hash(self, password: str) -> PasswordHash:
        digest = self._digest(self._scheme, password)
        value = bcrypt.hashpw(digest, bcrypt.gensalt(self._cost)).decode("ascii")
        return PasswordHash(self._scheme, value)

    def _matches(self, password: str, stored: PasswordHash | None) -> bool:
        if stored is None or not 0 < len(password) <= LONGEST:
            # Not the password: a megabyte of it would take its time.
            self._compare("", self._decoy)
            return False
        if self._compare(password, stored):
            return True
        # A hash from before the cost was raised was quicker to refuse than the decoy, and would
        # tell that the account exists. Each step doubles the work: c, c+1, ... add up to the rest.
        for cost in range(stored.cost, self._cost):
            bcrypt.hashpw(b"", bcrypt.gensalt(cost))
        return False

    def _compare(self, password: str, stored: PasswordHash) -> bool:
        digest = self._digest(stored.scheme, password)
        return bcrypt.checkpw(digest, stored.value.encode("ascii"))  # in constant time

    def _digest(self, scheme: int, password: str) -> bytes:
        # surrogatepass: a lone surrogate is a wrong password like any other, not a crash.
        text = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
        return base64.b64encode(hmac.digest(self._peppers[scheme], text, "sha384"))
