"""Finds the credential that a rule asks for; where there is no ASGI, lets requests pass by it."""

from .asgi_types import Scope
from .authentication import NO_CREDENTIAL, Refused
from .credentials import credential
from .identity import Identity
from .path_rules import PathRules
from .rules import OPTIONAL, PUBLIC, Rule
from .verifier import Verifier
from .verifier_thread import thread_of


class Admission:
    """Lets requests pass that bring what their rule asks for."""

    def __init__(
        self,
        verifier: Verifier,
        rules: PathRules,
        *,
        allow_preflight: bool = False,
        allow_cookie: bool = False,
    ) -> None:
        """Start nothing yet.

        Raises:
            ValueError: it is no verifier.
        """
        self._thread = thread_of(verifier)
        self._rules = rules
        self._allow_preflight = allow_preflight
        self._allow_cookie = allow_cookie

    def admit(self, scope: Scope) -> Identity | None:
        """Return who calls; None: nobody was asked who.

        Raises:
            Refused: the request may not pass.
        """
        rule, token = self._ask(scope)
        if token is None:
            return None
        identity = self._thread.identify(token)
        rule.requirement.check(identity)
        return identity

    async def admit_from_loop(self, scope: Scope) -> Identity | None:
        """Do so in an event loop that is not the verifier's."""
        rule, token = self._ask(scope)
        if token is None:
            return None
        identity = await self._thread.identify_from_loop(token)
        rule.requirement.check(identity)
        return identity

    def _ask(self, scope: Scope) -> tuple[Rule, str | None]:
        rule = self._rules(scope)
        return rule, required_token(
            rule, scope, allow_preflight=self._allow_preflight, allow_cookie=self._allow_cookie
        )


def required_token(
    rule: Rule, scope: Scope, *, allow_preflight: bool = False, allow_cookie: bool = False
) -> str | None:
    """Return the credential; None where it is not looked for, or there is none and need not be.

    Raises:
        Refused: there is none, or more than one.
    """
    if rule is PUBLIC or (allow_preflight and _is_preflight(scope)):
        return None
    try:
        return credential(scope, allow_cookie=allow_cookie)
    except Refused as refused:
        if rule is OPTIONAL and refused.answer is NO_CREDENTIAL:
            return None
        raise


def _is_preflight(scope: Scope) -> bool:
    """Tell whether a browser asks before a cross-origin call; it sends no credential then."""
    if scope["type"] != "http" or scope["method"] != "OPTIONS":
        return False
    names = {name for name, _ in scope["headers"]}
    return {b"origin", b"access-control-request-method"} <= names
