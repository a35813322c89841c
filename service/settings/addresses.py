"""Settings that say how browsers see the service: origins that may call it, and its path."""

import ipaddress
import re

_ORIGIN = re.compile(r"(https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::([1-9][0-9]{0,4}))?", re.ASCII)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LONGEST_HOST = 253

_ROOT_PATH = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+", re.ASCII)


def exact_origins(text: str) -> tuple[str, ...]:
    """Parse origins as browsers send them (RFC 6454, section 6.2), separated by commas."""
    names = tuple(name.strip() for name in text.split(","))
    if not all(map(_is_origin, names)):
        raise ValueError(
            "must be exact origins as browsers send them, separated by commas, such as "
            "https://app.example,http://localhost:5173: no path, *, null, default port or capitals"
        )
    return names


def path_prefix(text: str) -> str:
    """Parse the path before all of ours: `/auth`, or several segments; none ends in a slash."""
    if not _ROOT_PATH.fullmatch(text) or len(text) > 256:
        raise ValueError("must be a path such as /id, without a slash at its end")
    return text


def _is_origin(text: str) -> bool:
    found = _ORIGIN.fullmatch(text)
    if found is None:
        return False
    scheme, host, port = found.groups()
    if port is not None and (int(port) > 65_535 or int(port) == _DEFAULT_PORTS[scheme]):
        return False
    if host.startswith("["):
        return _is_compressed(host[1:-1])
    labels = host.split(".")
    return len(host) <= _LONGEST_HOST and all(
        0 < len(label) <= 63 and not label.startswith("-") for label in labels
    )


def _is_compressed(host: str) -> bool:
    """Tell whether it is an IPv6 address in the one spelling that browsers use."""
    try:
        return str(ipaddress.IPv6Address(host)) == host
    except ValueError:
        return False
