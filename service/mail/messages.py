"""Messages as they wait in Redis: sealed, with all that is needed to send them.

What is sealed is MessagePack of a `Message`, under the keyring's purpose `mail`, bound to the user
id and the message's own id. Nothing of it stands beside it in clear but these two ids.
"""

import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from service.clock import milliseconds, moment
from service.keyring.envelope import Keyring

MESSAGE_ID = 16
"""Bytes of a message's id, of which its `Message-ID` is made: the same at every try."""

_SEALED_FOR = "mail"

Kind = Literal[
    "reset",
    "verify",
    "change",
    "account_exists",
    "password_changed",
    "second_factor_on",
    "second_factor_off",
    "recovery_code_used",
    "email_change_requested",
    "email_changed",
    "account_deleted",
    "sign_in",
    "test",
]

_OF_NOTICE = frozenset({"app", "account", "when", "where", "device"})
_OF_LINK = frozenset({"app", "link", "until"})

VALUES: Mapping[Kind, frozenset[str]] = {
    "reset": _OF_LINK,
    "verify": _OF_LINK,
    "change": _OF_LINK,
    "account_exists": frozenset({"app", "account"}),
    "password_changed": _OF_NOTICE,
    "second_factor_on": _OF_NOTICE,
    "second_factor_off": _OF_NOTICE,
    "recovery_code_used": _OF_NOTICE | {"left"},
    "email_change_requested": _OF_NOTICE,
    "email_changed": _OF_NOTICE | _OF_LINK,
    "account_deleted": _OF_NOTICE,
    "sign_in": _OF_NOTICE,
    "test": frozenset({"app"}),
}
"""What the templates of each kind may say, by name."""

LINKS: Mapping[Kind, str] = {
    "reset": "reset",
    "verify": "verify",
    "change": "change",
    "email_changed": "undo",
}
"""Kinds whose link has a token, with the name before it in the fragment."""


class Message(msgspec.Struct, frozen=True, array_like=True):
    """A message to one address. `token` and `address` are secrets until it is sent.

    `made_at` and `good_until` are ms since 1970; the latter is 0 for what does not expire.
    """

    id: bytes
    kind: Kind
    address: str
    locale: str
    made_at: int
    good_until: int = 0
    token: str = ""
    values: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"Message(id={self.id.hex()}, kind={self.kind!r})"

    def is_over(self, now: datetime) -> bool:
        """Tell whether its link works no more, so that it is not worth sending."""
        return 0 < self.good_until <= milliseconds(now)

    @property
    def made(self) -> datetime:
        """When it was made."""
        return moment(self.made_at)


def new_message(
    kind: Kind,
    address: str,
    locale: str,
    now: datetime,
    *,
    token: str = "",
    life: timedelta | None = None,
    values: Mapping[str, str] | None = None,
) -> Message:
    """Make a message with an id of its own. `life` is that of its link."""
    until = milliseconds(now + life) if life else 0
    made_at = milliseconds(now)
    return Message(
        os.urandom(MESSAGE_ID), kind, address, locale, made_at, until, token, values or {}
    )


def seal(keyring: Keyring, user_id: bytes, message: Message) -> bytes:
    """Seal a message for the outbox of this user's bucket."""
    text = msgspec.msgpack.encode(message)
    return keyring.seal(text, purpose=_SEALED_FOR, bound_to=user_id + message.id)


def unseal(keyring: Keyring, user_id: bytes, message_id: bytes, sealed: bytes) -> Message:
    """Open what `seal` has made.

    Raises:
        SealBroken: it does not open.
        KeyServiceUnavailable: the keys are not open yet.
        msgspec.ValidationError: another version of this program has written it.
    """
    text = keyring.open(sealed, purpose=_SEALED_FOR, bound_to=user_id + message_id)
    return msgspec.msgpack.decode(text, type=Message)


def spell(when: datetime) -> str:
    """Spell a time as mails say it."""
    return f"{when:%Y-%m-%d %H:%M} UTC"
