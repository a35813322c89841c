"""Tells what an error of Redis means: whether it passes or needs an operator, and what to say.

An error reply never reaches a client as a defect of the service: whatever Redis will not do, the
call that needs it is answered with 503. The server's own text is not passed on, since it may quote
the arguments of a command.
"""

import re
from typing import NamedTuple

from redis import exceptions

from service.errors import Refusal, StoreRefuses, StoreUnavailable


class CommandRefused(StoreRefuses, exceptions.ResponseError):
    """The error reply to a command. It is a `ResponseError` for whoever tells such apart."""


class ForeignServer(exceptions.ConnectionError):
    """The feed of a server bears the mark of another issuer, so it was not meant."""

    def __init__(self, theirs: str, ours: str) -> None:
        super().__init__(
            f"The feed in this Redis is of the issuer {theirs[:200]!r}, and SERVICE_ISSUER is "
            f"{ours[:200]!r}"
        )


class RightsMissing(exceptions.ConnectionError):
    """Our user may not run all that the scripts run, so that one could break off half-way."""

    def __init__(self, names: str) -> None:
        super().__init__(f"Redis does not let this user use {names}; redis.conf has the ACL")


class FenceUnknown(exceptions.ConnectionError):
    """Whether this server has gone back in time cannot be told yet, so it is not served from."""

    def __init__(self) -> None:
        super().__init__(
            "Whether Redis has gone back in time is not known, as the user store does not tell"
        )


class SentinelRefuses(exceptions.ConnectionError):
    """A Sentinel answers, and does not say who is primary. `permanent`: nor will it by itself."""

    def __init__(self, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.permanent = permanent


NO_SLOT = StoreRefuses("cluster", "No node of the cluster has this slot")
NO_MAP = StoreRefuses("cluster", "No node in the URL is part of a cluster that serves slots")
TOO_FEW = StoreRefuses(
    "cluster", "Too few of the nodes in the URL tell of a cluster without a mark"
)
TWO_CLUSTERS = StoreRefuses("foreign", "The URL names nodes of different clusters", permanent=True)
"""Why there is no map of a cluster, or nobody has a bucket by it."""


class _Meaning(NamedTuple):
    refusal: Refusal
    message: str
    permanent: bool = False


_NO_PASSWORD = _Meaning("user", "Redis asks for a password, and the URL has none", True)
_NO_LEAVE = _Meaning(
    "user", "Redis does not let this user run all that is needed; redis.conf has the ACL"
)
_NO_DATABASE = _Meaning("database", "Redis has no such database as the URL names", True)
_NOT_HERE = _Meaning("cluster", "The cluster does not serve this slot now")

_BY_CODE = {
    "NOAUTH": _NO_PASSWORD,
    "WRONGPASS": _Meaning("user", "Redis does not take the user name and password", True),
    "NOPERM": _NO_LEAVE,
    "DENIED": _Meaning("user", "Redis is in protected mode: it needs a password", True),
    "READONLY": _Meaning("read-only", "Redis takes no writes: it is a replica"),
    "MASTERDOWN": _Meaning("read-only", "Redis is a replica that has lost its primary"),
    "OOM": _Meaning("full", "Redis takes no writes: it has reached its maxmemory"),
    "MISCONF": _Meaning("disk", "Redis takes no writes: it cannot save to its disk"),
    "NOREPLICAS": _Meaning("replicas", "Redis takes no writes: it has too few replicas"),
    "BUSY": _Meaning("busy", "Redis is busy running a script"),
    "UNKILLABLE": _Meaning("busy", "Redis is busy running a script"),
    "LOADING": _Meaning("busy", "Redis is loading its data"),
    "CLUSTERDOWN": _NOT_HERE,
    "TRYAGAIN": _NOT_HERE,
    "CROSSSLOT": _NOT_HERE,
    "ASK": _NOT_HERE,
    "MOVED": _Meaning(
        "cluster", "Redis is a node of a cluster: the URL must be redis+cluster://", True
    ),
}

_BY_TEXT = (
    (r"unauthenticated (multi)?bulk length|operation not permitted", _NO_PASSWORD),
    (r"invalid password|AUTH <password> called|no password is set", _BY_CODE["WRONGPASS"]),
    (r"ACL failure in script|The user executing the script can't", _NO_LEAVE),
    (r"DB index is out of range|invalid DB index|SELECT is not allowed", _NO_DATABASE),
    (r"non local key|cluster is down|same slot", _NOT_HERE),
    (r"max(imum)? number of clients", _Meaning("busy", "Redis has reached its maxclients")),
    (r"unknown (sub)?command", _Meaning("error", "Redis lacks a command that is needed", True)),
)


UNREADABLE = {
    "LAYOUT": ("what is stored",),
    "WRONGTYPE": (
        "a key of ours",
        "another type, so somebody else has written it; `openshow-auth doctor` may name it",
    ),
}
"""By the code of a script's error, what it cannot read, and whose that is (`UnknownLayout`)."""


def lacks_rights(error: BaseException) -> bool:
    """Tell whether our user lacks a right that the call needs, so that it may be half done."""
    return isinstance(error, exceptions.RedisError) and _meaning(error) is _NO_LEAVE


def code_of(error: exceptions.RedisError) -> str:
    """Return the first word of an error reply; redis-py removes it where it has a class for it."""
    return getattr(error, "status_code", None) or str(error).partition(" ")[0]


def refused(error: exceptions.RedisError) -> CommandRefused:
    """Turn an error reply into what it means to whoever has sent the command."""
    meaning = _meaning(error) or _unforeseen(error)
    return CommandRefused(meaning.refusal, meaning.message, permanent=meaning.permanent)


def unavailable(error: BaseException) -> StoreUnavailable:
    """Say why there is no answer: `StoreRefuses`, where a server has refused the connection."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, StoreUnavailable):
            return cause
        if isinstance(cause, ForeignServer):
            return StoreRefuses("foreign", str(cause))
        if isinstance(cause, SentinelRefuses):
            return StoreRefuses("user", str(cause), permanent=cause.permanent)
        if isinstance(cause, RightsMissing):
            return StoreRefuses("user", str(cause))
        if isinstance(cause, FenceUnknown):
            return StoreRefuses("rollback", str(cause))
        if isinstance(cause, exceptions.RedisError) and (meaning := _meaning(cause)):
            return StoreRefuses(meaning.refusal, meaning.message, permanent=meaning.permanent)
        cause = cause.__cause__
    return StoreUnavailable("Redis cannot be reached")


def refused_by_sentinel(error: exceptions.RedisError) -> SentinelRefuses | None:
    """Turn an error of a Sentinel into what it means; `None`: it has not refused."""
    meaning = _meaning(error)
    if meaning is _NO_PASSWORD:
        return SentinelRefuses("A Sentinel asks for a password: sentinel_password", permanent=True)
    if meaning is _BY_CODE["WRONGPASS"]:
        return SentinelRefuses(
            "A Sentinel does not take sentinel_username and sentinel_password", permanent=True
        )
    if meaning is _NO_LEAVE:
        return SentinelRefuses("A Sentinel does not let this user ask for it", permanent=True)
    return None


def _meaning(error: exceptions.RedisError) -> _Meaning | None:
    text = str(error)
    if found := _BY_CODE.get(code_of(error)):
        return found
    return next((meaning for pattern, meaning in _BY_TEXT if re.search(pattern, text)), None)


def _unforeseen(error: exceptions.RedisError) -> _Meaning:
    """Quote an error that is no known state of a server.

    Such texts name types of keys and lines of scripts; those that quote arguments are known ones.
    """
    return _Meaning("error", f"Redis answers with an error: {str(error)[:200]}")
