"""What a path asks for, by the lists that `GuardMiddleware` was given.

Public and optional paths are open in one spelling only (`public_paths.py`). What is required holds
in every spelling: for a path with two readings all that is required anywhere is.
"""

import re
from collections.abc import Iterable, Mapping

from .asgi_types import Scope
from .public_paths import PublicPaths, below_root, plain
from .rules import CLOSED, NOTHING_MORE, OPTIONAL, PUBLIC, Requirement, Rule

_TWO_READINGS = re.compile(r"//|/\.\.?(?:/|$)|[;\\%?#\x00-\x1f\x7f]")
"""Empty segments, `.` and `..`, and what a proxy or framework may decode, cut off or turn round."""


class PathRules:
    """The lists of a middleware; called with a scope, they tell what its path asks for."""

    def __init__(
        self,
        public: Iterable[str],
        optional: Iterable[str],
        require: Mapping[str, Requirement],
    ) -> None:
        """Take the lists.

        Raises:
            ValueError: one is none, has what is no path, or contradicts another.
        """
        self._public = PublicPaths(public)
        self._optional = PublicPaths(optional, "optional")
        self._required = _requirements(require)
        self._everything = CLOSED
        if self._required:
            self._everything = Rule(requirement=NOTHING_MORE.joined(self._required.values()))
        for listed in self._required:
            _refuse_if(any(covers(it, listed) for it in self._public.listed), listed, "public")
        for listed in self._optional.listed:
            _refuse_if(any(covers(it, listed) for it in self._public.listed), listed, "public")
            _refuse_if(any(covers(it, listed) for it in self._required), listed, "required")

    def __call__(self, scope: Scope) -> Rule:
        if self._public(scope):
            return PUBLIC
        if self._required and (rule := self._requirement(scope)) is not CLOSED:
            return rule
        return OPTIONAL if self._optional.listed and self._optional(scope) else CLOSED

    def _requirement(self, scope: Scope) -> Rule:
        """Find what is required, be the path read with the prefix of the app's mount or without."""
        readings = {scope["path"], below_root(scope)}
        if any(not path.startswith("/") or _TWO_READINGS.search(path) for path in readings):
            return self._everything
        found = [
            requirement
            for listed, requirement in self._required.items()
            if any(covers(listed, path) for path in readings)
        ]
        return Rule(requirement=found[0].joined(found[1:])) if found else CLOSED


def covers(listed: str, path: str) -> bool:
    """Tell whether a listed path is this one, or ends with a slash and this one is below it.

    A slash at the end makes no other path, nor do capitals, since to some frameworks they do not.
    """
    bare, path = listed.rstrip("/").lower(), path.lower()
    return path.rstrip("/") == bare or (listed.endswith("/") and path.startswith(f"{bare}/"))


def _requirements(given: object) -> dict[str, Requirement]:
    if not isinstance(given, Mapping):
        raise ValueError('require maps paths to what they ask: {"/admin/": Requirement(…)}')
    for path, requirement in given.items():
        plain(path)
        if not isinstance(requirement, Requirement):
            raise ValueError(
                f"require: {path!r} needs a Requirement, not {type(requirement).__name__}"
            )
        if not requirement:
            raise ValueError(f"require: {path!r} asks for nothing")
    return dict(given)


def _refuse_if(contradiction: bool, listed: str, name: str) -> None:
    if contradiction:
        raise ValueError(f"{listed!r} is {name} already, or below what is")
