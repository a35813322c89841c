"""Decides which paths need no access token, or may go without: those that are listed, in their one
spelling.

What lies between a client and a handler may read a path in ways of its own: a proxy that resolves
`..`, a framework that folds `//`, a server that decodes `%2F`. A path that has two readings is
public in neither.
"""

import re
from collections.abc import Iterable

from .asgi_types import Scope

_PLAIN = re.compile(r"(?:/(?!\.\.?(?:/|$))[A-Za-z0-9._~!$&'()*+,=:@-]+)*/?")
"""Segments that are neither empty nor `.` nor `..`, in RFC 3986's characters but `;` and `%`."""


class PublicPaths:
    """A list of paths; called with a scope, it tells whether the path is on the list."""

    def __init__(self, paths: Iterable[str], name: str = "public") -> None:
        """Take a list: `/health` is that path only, `/static/` all below it, `/` the root only.

        `name`: of the argument that it is.

        Raises:
            ValueError: a path that no request could match, or that is not one.
        """
        fault = ValueError(f"{name} is a list of paths")
        if isinstance(paths, str):
            raise fault
        try:
            self.listed = [plain(path) for path in paths]
        except TypeError:
            raise fault from None
        self._exact = frozenset(path for path in self.listed if path == "/" or path[-1] != "/")
        self._prefixes = tuple(path for path in self.listed if path != "/" and path[-1] == "/")

    def __call__(self, scope: Scope) -> bool:
        path = below_root(scope)
        if path not in self._exact and not (
            path.startswith(self._prefixes) and _PLAIN.fullmatch(path)
        ):
            return False
        raw: bytes = scope.get("raw_path") or b""
        return b"%" not in raw or b"%" not in raw.partition(b"?")[0]


def plain(path: object) -> str:
    """Make sure that it is a path, in one spelling. Raises ValueError."""
    if not isinstance(path, str) or not path.startswith("/") or not _PLAIN.fullmatch(path):
        raise ValueError(f"not a plain path: {path!r}")
    return path


def below_root(scope: Scope) -> str:
    """Return the path as the app's own routes see it: without the prefix of its mount."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if not root:
        return path
    if path.startswith(root) and path[len(root) :].startswith("/"):
        return path[len(root) :]
    # Frameworks differ in what they do with a root that stands elsewhere in the path.
    return "" if root in path else path
