"""What relying parties are told of each event."""

import pytest

from service.events.event import AuditEvent, Position
from service.relying_parties.endings import Ending, endings

ANN = "05" * 16
ONE, TWO = "0a" * 12, "0b" * 12
ALL = (Ending(ANN),)
EACH = (Ending(ANN, ONE), Ending(ANN, TWO))


def event(type_: str, **fields: str) -> AuditEvent:
    return AuditEvent(Position(1, 0, 5), {"type": type_, "user": ANN} | fields)


@pytest.mark.parametrize("session_required", [True, False])
@pytest.mark.parametrize("type_", ["user.loggedOut", "session.revoked", "session.reuseDetected"])
def test_of_one_session(type_: str, session_required: bool) -> None:
    """Its user and its id, for whoever it is."""
    assert endings(event(type_, session=ONE), session_required) == (Ending(ANN, ONE),)


@pytest.mark.parametrize(
    "quiet",
    [
        event("user.loggedIn", session=ONE),
        event("session.rotated", session=ONE),
        event("session.handoffElsewhere", session=ONE),
        event("user.loggedOut"),
        event("user.disabled", count="0", reason="so"),
        event("user.passwordFailed", door="login"),
        event("sessions.cutOff", user="", reason="a leak"),
        event("user.sessionsEnded", user="", count="2"),
    ],
    ids=lambda it: f"{it.type}-{len(it.fields)}",
)
def test_of_most_events_nothing(quiet: AuditEvent) -> None:
    """They end nothing, or nothing that can be named."""
    assert not endings(quiet, True)
    assert not endings(quiet, False)


@pytest.mark.parametrize(
    ("fields", "required", "not_required"),
    [
        ({"sessions": f"{ONE} {TWO}"}, EACH, ALL),
        ({"sessions": f"{ONE} {TWO}", "kept": "0c" * 12}, EACH, EACH),
        ({}, ALL, ALL),
        ({"kept": "0c" * 12}, ALL, ALL),
    ],
    ids=["all", "some stay", "not known which", "some stay, not known which"],
)
@pytest.mark.parametrize("type_", ["user.sessionsEnded", "user.disabled", "user.deleted"])
def test_of_all_sessions(
    type_: str, fields: dict[str, str], required: tuple[Ending], not_required: tuple[Ending]
) -> None:
    """As one, unless sessions are required or some stay; never silence where some have ended."""
    ended = event(type_, count="2", **fields)
    assert tuple(endings(ended, True)) == required
    assert tuple(endings(ended, False)) == not_required
