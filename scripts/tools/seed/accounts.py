"""Accounts with numbers: which ones there are is read off the user store, nothing else is kept."""

import base64
import hmac
import re
from collections.abc import Sequence

import msgspec

from service.accounts.emails import EmailAddress, normalize
from service.accounts.password_policy import PasswordPolicy
from service.accounts.passwords import PasswordHash
from service.clock import system_clock
from service.errors import EmailTaken, InvalidField, WeakPassword
from tools.seed.stores import Stores

_PREFIX = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_PURPOSE = b"scripts/seed: password of accounts "


class Refused(Exception):
    """It cannot be done as asked; the message says why, in a line."""


class Login(msgspec.Struct, frozen=True):
    """The password of all seeded accounts, and its one hash."""

    password: str
    hashed: PasswordHash

    def __repr__(self) -> str:
        return f"Login({self.hashed})"


def check_prefix(prefix: str) -> None:
    """Raise `Refused` unless numbered addresses can begin with it."""
    if not _PREFIX.fullmatch(prefix):
        raise Refused("--prefix must be up to 32 small letters, digits and inner dashes")
    normalize(address(prefix, 1).as_given)


def address(prefix: str, number: int) -> EmailAddress:
    """Make the address of an account; numbers count from 1.

    Not by `normalize`, which takes longer for an address than everything else for its account: of
    what `check_prefix` lets pass, nothing is folded, so the address is its own key.
    """
    text = f"{prefix}-{number:07}@example.org"
    return EmailAddress(text, text)


async def agree_on_login(stores: Stores, prefix: str, chosen: str | None) -> Login:
    """Take the password `chosen`, or one always the same for this service and prefix.

    All accounts get one hash, which a later run takes from the first of them.

    Raises:
        Refused: the accounts have another password, or this one may not be used.
    """
    password = chosen or _derived(stores.keys.email_digest_key, prefix)
    try:
        PasswordPolicy().check(password)
    except (InvalidField, WeakPassword) as error:
        raise Refused(f"--password: {error}") from None
    found = await stores.users.find_by_email(address(prefix, 1).key)
    if found is None:
        return Login(password, await stores.passwords.hash(password))
    if not await stores.passwords.verify(password, found.password):
        raise Refused(
            f"the accounts {prefix}-… have another password: name it with --password, "
            "or make others with --prefix"
        )
    return Login(password, found.password)


async def accounts(
    stores: Stores, prefix: str, numbers: Sequence[int], login: Login
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Give the ids of the accounts with these `numbers`, by address: found, and added now.

    Raises:
        Refused: somebody else makes them at the same time.
    """
    wanted = [address(prefix, number) for number in numbers]
    found = await stores.users.ids([email.key for email in wanted])
    missing = [email for email in wanted if email.key not in found]
    try:
        ids = await stores.users.add_all(missing, login.hashed, system_clock())
    except EmailTaken:
        raise Refused(f"another scripts/seed makes the accounts {prefix}-…: wait for it") from None
    added = {email.as_given: user_id for email, user_id in zip(missing, ids, strict=True)}
    return found, added


def _derived(key: bytes, prefix: str) -> str:
    """Derive one: secret, as the key is, and always the same, so nothing need keep it."""
    digest = hmac.digest(key, _PURPOSE + prefix.encode(), "sha256")
    return base64.b32encode(digest[:15]).decode().lower()
