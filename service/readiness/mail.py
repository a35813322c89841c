"""Says how mail goes. It never makes a pod unready: whoever is signed in needs none."""

from service.readiness.status import Part

_WAITING_LONG = 120.0
"""Seconds that a message may wait before readiness warns."""


def mail_part(queued: int, waiting_for: float, problem: str) -> Part:
    """Report the outbox. `waiting_for`: how long the oldest message waits, in seconds."""
    facts = {"queued": str(queued), "oldestSeconds": str(int(waiting_for))}
    if problem and queued:
        message = f"Mail waits, and is tried again: {problem}."
        return Part(True, message, facts, warning=True)
    if waiting_for > _WAITING_LONG:
        message = f"Mail has been waiting for {waiting_for:.0f} s."
        return Part(True, message, facts, warning=True)
    return Part(True, "Mail goes.", facts)
