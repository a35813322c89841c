"""Settings that name where to listen: `host:port`, or `unix:` and the path of a socket file."""

import re

import msgspec

_LONGEST_PATH = 107  # bytes that Linux takes
_EXPECTED = "must be host:port, [IPv6 address]:port or unix:/path"


class Bind(msgspec.Struct, frozen=True):
    """Where to listen: at `host` and `port`, or at a `path`."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def bind(text: str) -> Bind:
    """Parse where to listen."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/") or not path.isprintable() or len(path.encode()) > _LONGEST_PATH:
            raise ValueError(_EXPECTED)
        return Bind(path=path)
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^\s:\[\]/]+)):([0-9]{1,5})", text, re.ASCII)
    if found is None or int(found[3]) > 65_535:
        raise ValueError(_EXPECTED)
    return Bind(found[1] or found[2], int(found[3]))
