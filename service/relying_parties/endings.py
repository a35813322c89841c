"""What relying parties are told of an audit event: which session has ended, or all of a user's."""

from collections.abc import Sequence

import msgspec

from service.events.event import AuditEvent

_OF_ONE_SESSION = frozenset({"user.loggedOut", "session.revoked", "session.reuseDetected"})


class Ending(msgspec.Struct, frozen=True):
    """The end of a session of somebody's; without `session_id`, of all of them. Both in hex."""

    user_id: str
    session_id: str = ""


def endings(event: AuditEvent, session_required: bool) -> Sequence[Ending]:
    """Tell what has ended by an event, as it is to be told; most events end nothing.

    All of somebody's are told as one, unless a session is required for each, or some stay. Where
    it is not known which ones have ended (more than 128; or the event was written before anybody
    asked for them), they are told as one all the same: better too much than nothing.
    """
    fields, user = event.fields, event.user
    if not user:
        return ()
    if event.type in _OF_ONE_SESSION:
        session = fields.get("session", "")
        return (Ending(user, session),) if session else ()
    if fields.get("count", "0") == "0":  # each event about a cut-off has it (sessions/cut_off.lua)
        return ()
    sessions = fields.get("sessions", "").split()
    if sessions and (session_required or fields.get("kept")):
        return [Ending(user, session) for session in sessions]
    return (Ending(user),)
