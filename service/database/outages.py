"""Tells from an error what keeps a database from serving: by SQLSTATE or SQLite's result code."""

from sqlalchemy.exc import DBAPIError, TimeoutError as PoolTimeoutError

_CANNOT_BE_REACHED = "cannot be reached"
_NOT_SET_UP = "is not set up: run `openshow-auth migrate`, and look at the user's rights"
_SHARED = "is behind a pooler that is not in session mode"
_READ_ONLY = "takes no writes: it is read-only"
_FULL = "takes no writes: its disk is full"
_MEMORY = "is out of memory"
_DAMAGED = "is damaged: restore it from a backup"
_OF_ITS_OWN = "has an error of its own"
_LOCKED = "is locked by somebody else for too long"

_BY_STATE = {  # whole states, then classes
    "0A000": "has been migrated while it was used",
    "25006": _READ_ONLY,
    "25P03": "has ended a transaction that took too long",
    "26000": _SHARED,
    "42P05": _SHARED,
    "3D000": "has no database of this name",
    "3F000": _NOT_SET_UP,
    "40001": "has had a conflict of transactions",
    "40P01": "has broken a deadlock",
    "42501": _NOT_SET_UP,
    "42703": _NOT_SET_UP,
    "42P01": _NOT_SET_UP,
    "53100": _FULL,
    "53200": _MEMORY,
    "53300": "has too many connections",
    "55P03": _LOCKED,
    "57014": "did not do a statement in time",
    "57P01": "is being stopped",
    "57P02": "has crashed",
    "57P03": "is starting or stopping",
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
    "08": _CANNOT_BE_REACHED,
    "09": _OF_ITS_OWN,
    "28": "refuses the user or the password",
    "38": _OF_ITS_OWN,
    "39": _OF_ITS_OWN,
    "40": "has taken a transaction back",
    "53": "lacks resources",
    "54": "has reached a limit of its own",
    "55": "is not in a state to serve",
    "57": "does not serve at the moment",
    "58": "has trouble with its own machine",
    "F0": "has a broken configuration",
    "P0": _OF_ITS_OWN,  # raised by a trigger, say
    "XX": _OF_ITS_OWN,
}

_BY_CODE = {  # SQLite's, the extended ones by how they begin
    "SQLITE_READONLY": _READ_ONLY,
    "SQLITE_FULL": _FULL,
    "SQLITE_CORRUPT": _DAMAGED,
    "SQLITE_NOTADB": _DAMAGED,
    "SQLITE_NOMEM": _MEMORY,
    "SQLITE_BUSY": _LOCKED,
    "SQLITE_LOCKED": _LOCKED,
    "SQLITE_IOERR": "has trouble with its disk",
    "SQLITE_CANTOPEN": "cannot be opened",
    "SQLITE_PERM": "cannot be opened",
    "SQLITE_AUTH": "cannot be opened",
    "SQLITE_SCHEMA": "has been migrated while it was used",
    "SQLITE_PROTOCOL": _LOCKED,
}


def reason(error: BaseException) -> str | None:
    """Say why the database cannot serve, as words to follow "the user store".

    Returns `None` if the error is not about the database's state.

    The text holds nothing of the error's own, which may quote a row.
    """
    if isinstance(error, DBAPIError) and error.orig is not None:
        return reason(error.orig)
    if isinstance(error, MemoryError):
        return _MEMORY
    if isinstance(error, PoolTimeoutError):
        return "has no connection to spare"
    # SQLAlchemy's own class for a stale plan has lost it, but not the driver's error under it.
    state = getattr(error, "sqlstate", None) or getattr(error.__cause__, "sqlstate", None)
    if isinstance(state, str):
        return _BY_STATE.get(state) or _BY_STATE.get(state[:2])
    code = getattr(error, "sqlite_errorname", None)
    if isinstance(code, str):
        if code == "SQLITE_ERROR" and "no such" in str(error):  # table or column
            return _NOT_SET_UP
        return next((_BY_CODE[known] for known in _BY_CODE if code.startswith(known)), None)
    return None
