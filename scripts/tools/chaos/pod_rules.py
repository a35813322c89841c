"""The rules of pods: what each must do, and must not, while something is wrong with it."""

from collections.abc import Iterator

from tools.chaos.evidence import Terms, Violation, violation
from tools.chaos.history import Fault, History, Operation

PATIENCE = 15.0
"""Seconds after which pods must serve without a node that has left the cluster."""

_MOST_AHEAD = 60.0
"""Seconds by which a clock may be wrong before its pod is not ready."""

_NOTICES = 1.6
"""Seconds after which an answer is not that of a look from before the clock was set."""

_CLOCKS = 0.2
"""Seconds by which a time may seem off on a machine whose clock is being kept right."""


def check(history: History, terms: Terms) -> Iterator[Violation]:
    """Find all that went wrong with the pods."""
    for fault in history.faults:
        asked = [each for each in history.operations if _during(each, fault)]
        if fault.kind == "stop a log reader":
            yield from _hung(fault, history.operations)
        if fault.kind == "skew a pod's clock" and abs(fault.ahead) >= _MOST_AHEAD:
            yield from _served_by_a_wrong_clock(fault, asked)
        if fault.kind == "scale in":
            yield from _stayed_behind(fault, asked)
    skews = [fault for fault in history.faults if fault.kind == "skew a pod's clock"]
    for each in history.operations:
        yield from _wrong_token(each, skews, terms)


def _during(operation: Operation, fault: Fault) -> bool:
    return fault.since <= operation.started and operation.ended <= fault.until


def _hung(fault: Fault, operations: list[Operation]) -> Iterator[Violation]:
    """Check that whoever does not read the log of a pod does not keep it from answering."""
    for each in operations:
        begun = fault.since <= each.started <= fault.until and _is_at(each, fault)
        if each.kind == "live" and begun and each.outcome != "ok":
            yield violation("a pod hung", "while its log was not read", each)


def _served_by_a_wrong_clock(fault: Fault, asked: list[Operation]) -> Iterator[Violation]:
    """Check that a pod whose clock is wrong is not ready, judges no code, and signs nothing."""
    for each in asked:
        if not _is_at(each, fault) or each.outcome != "ok":
            continue
        if each.kind == "ready" and each.started >= fault.since + _NOTICES:
            says = f"with a clock that is {fault.ahead:g} s ahead"
            yield violation("a pod with a wrong clock was ready", says, each)
        if each.life:
            yield violation("a wrong clock signed a token", f"{fault.ahead:g} s ahead", each)
        if each.step:
            yield violation("a wrong clock judged a code", f"{fault.ahead:g} s ahead", each)


def _stayed_behind(fault: Fault, asked: list[Operation]) -> Iterator[Violation]:
    """Check that all pods find the slots of a primary that has left."""
    looks = [each for each in asked if each.kind == "ready"]
    for pod in {each.pod for each in looks}:
        refused: list[Operation] = []  # without a break: a pod may be killed meanwhile
        for each in (each for each in looks if each.pod == pod):
            refused = [*refused, each] if each.outcome == "refused" else []
        if refused and refused[-1].ended >= refused[0].started + PATIENCE:
            says = f"pod {pod} does not serve without {fault.target}"
            yield violation("the map of the cluster was not read", says, refused[-1])


def _wrong_token(each: Operation, skews: list[Fault], terms: Terms) -> Iterator[Violation]:
    """Check that a token lives as long as it says, at most what is set, from its pod's time on."""
    if not each.life and not each.expires_in:
        return
    if not 0 < each.life <= terms.access_life or each.life != each.expires_in:
        says = f"it lives for {each.life} s and is said to for {each.expires_in} s"
        yield violation("a wrong token", says, each)
    meanwhile = [f for f in skews if f.started < each.ended and f.ended > each.started]
    if not all(fault.until for fault in meanwhile):
        return  # it is not over, and not known whom it has hit
    ahead = [f.ahead for f in meanwhile if _is_at(each, f)]
    if not min([0.0, *ahead]) - _CLOCKS <= each.off <= max([0.0, *ahead]) + _CLOCKS:
        yield violation("a wrong token", f"its time is off by {each.off:g} s", each)


def _is_at(operation: Operation, fault: Fault) -> bool:
    return fault.target == f"pod {operation.pod}"
