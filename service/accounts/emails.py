"""E-mail addresses: what is accepted, and when two of them are the same."""

import hashlib
from unicodedata import category, normalize as unicode_form

import email_validator
import idna
import msgspec

from service.errors import InvalidField

LONGEST = 254
"""Characters; RFC 5321 section 4.5.3.1.3 has 256 octets for a path with its angle brackets."""

# Intranets and test networks use .local, .localhost and .test, and no mail has to reach them. The
# library offers this list to be changed; it has no parameter that does the same.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()


class EmailAddress(msgspec.Struct, frozen=True):
    """A valid address: as the person wrote it, and the key by which addresses are compared."""

    as_given: str
    key: str


def normalize(raw: str) -> EmailAddress:
    """Return the address in `raw`, with blanks around it stripped.

    Raises:
        InvalidField: it is not an address. The message is the same for all and quotes nothing.
    """
    as_given = raw.strip()
    try:
        if len(as_given) > LONGEST:  # before the library, some of whose checks are quadratic
            raise email_validator.EmailSyntaxError
        email_validator.validate_email(
            as_given,
            allow_smtputf8=True,
            allow_quoted_local=True,
            check_deliverability=False,
            globally_deliverable=False,
        )
    except email_validator.EmailNotValidError:
        # `from None`: the library's message tells which characters it did not like.
        raise InvalidField("email", "The e-mail address is not valid.") from None
    try:
        return EmailAddress(as_given, _key(as_given))
    except idna.IDNAError:
        raise InvalidField("email", "The e-mail address is not valid.") from None


def is_same_mailbox(one: str, other: str) -> bool:
    """Tell whether who reads the mail of one address surely reads that of the other, too.

    Addresses with one key may be two mailboxes: `straße@` and `strasse@`, `ſam@` and `sam@`. Local
    parts are the same here only as written, but for the case of ASCII letters.
    """
    return _written_local(one) == _written_local(other) and lookup_key(one) == lookup_key(other)


def _written_local(address: str) -> bytes:
    return address.strip().rpartition("@")[0].encode("utf-8", "surrogatepass").lower()


def lookup_key(raw: str) -> str:
    """Make the key to look up for whatever was typed at login. Never raises.

    What cannot be an address gets a key without an @, which no account has: so it is simply
    unknown, yet wrong tries with it are counted like those with any other.
    """
    stripped = raw.strip()
    if len(stripped) > LONGEST or any(category(c) in {"Cc", "Cs"} for c in stripped):
        # Never into SQL: NUL is refused by PostgreSQL, lone surrogates cannot be encoded, and
        # normalizing 60,000 combining marks takes a second.
        return hashlib.sha256(stripped.encode("utf-8", "surrogatepass")).hexdigest()
    try:
        return _key(stripped)
    except idna.IDNAError:  # a domain that cannot be: no account has it
        return hashlib.sha256(_folded(stripped).encode()).hexdigest()


def _key(address: str) -> str:
    """Make the key by which addresses are compared: the local part folded, the domain as A-labels
    (UTS 46, non-transitional: RFC 5891 section 4, so that `straße.de` is not `strasse.de`)."""
    local, at, domain = unicode_form("NFKC", address).rpartition("@")
    if not at:
        return _folded(address)
    return _folded(local) + at + idna.encode(domain, uts46=True, transitional=False).decode()


def _folded(text: str) -> str:
    # NFKC again: case folding can leave a text that is not normalized, and a key must be its own.
    return unicode_form("NFKC", unicode_form("NFKC", text).casefold())
