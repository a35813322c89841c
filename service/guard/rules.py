"""What a request has to bring to get through: a token or none, and what its login was like."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Literal

import msgspec

from .authentication import check_authentication
from .identity import Identity
from .options import check_yes_or_no, login_methods, seconds


class Requirement:
    """What is asked of a login besides that its session lives; else the answer is RFC 9470's."""

    __slots__ = ("max_age", "methods")

    def __init__(
        self, *, methods: Iterable[str] = (), max_age: timedelta | float | None = None
    ) -> None:
        """Take what is asked.

        Args:
            methods: what the login must have used, all of it (`amr`, RFC 8176): `{"otp"}`.
            max_age: how long ago it may be at most, a timedelta or seconds.

        Raises:
            ValueError: an argument, which it names, cannot be used.
        """
        self.methods = login_methods(methods)
        self.max_age = None if max_age is None else _span(max_age)

    def __repr__(self) -> str:
        return f"Requirement(methods={set(self.methods) or '{}'}, max_age={self.max_age!r})"

    def __eq__(self, other: object) -> bool:
        """Whether it asks the same."""
        return isinstance(other, Requirement) and self._asked == other._asked

    def __hash__(self) -> int:
        return hash(self._asked)

    @property
    def _asked(self) -> tuple[object, ...]:
        return self.methods, self.max_age

    def __bool__(self) -> bool:
        """Whether anything is asked."""
        return bool(self.methods) or self.max_age is not None

    def joined(self, others: Iterable["Requirement"]) -> "Requirement":
        """Return the requirement that asks all that this one and the others ask."""
        asked = [self, *others]
        spans = [it.max_age for it in asked if it.max_age is not None]
        methods = frozenset[str]().union(*(it.methods for it in asked))
        return Requirement(methods=methods, max_age=min(spans, default=None))

    def check(self, identity: Identity) -> None:
        """Check the login of an identity.

        Raises:
            Refused: it was of another kind, or too long ago.
        """
        check_authentication(identity, self.methods, self.max_age)


NOTHING_MORE = Requirement()
"""A living session is enough."""


class Rule(msgspec.Struct, frozen=True):
    """What a request has to bring. There is one `PUBLIC` and one `OPTIONAL`."""

    credential: Literal["ignored", "optional", "required"] = "required"
    requirement: Requirement = NOTHING_MORE


PUBLIC, OPTIONAL, CLOSED = Rule("ignored"), Rule("optional"), Rule()
"""No credential is looked at; one that is there must be good; one must be there."""


def check_optional(given: object, requirement: Requirement) -> None:
    """Make sure that `optional` is yes or no, and yes only where nothing is asked.

    Raises:
        ValueError: it is not.
    """
    check_yes_or_no("optional", given)
    if given and requirement:
        raise ValueError(
            "optional: whoever need not log in cannot be asked how; no methods, no max_age"
        )


def _span(given: Any) -> timedelta:
    return timedelta(seconds=seconds("max_age", given, zero=True))
