"""One result of a check."""

from typing import Literal

import msgspec

State = Literal["ok", "warning", "fault"]


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a check has found: in which part, how it is, a sentence, and what to do about it."""

    part: str
    state: State
    message: str
    advice: str = ""


def ok(part: str, message: str) -> Finding:
    """Report what is as it should be."""
    return Finding(part, "ok", sentence(message))


def warning(part: str, message: str, advice: str) -> Finding:
    """Report what serves, and what somebody should see to."""
    return Finding(part, "warning", sentence(message), sentence(advice))


def fault(part: str, message: object, advice: str = "") -> Finding:
    """Report what keeps the service from serving, or from being trusted."""
    return Finding(part, "fault", sentence(message), sentence(advice) if advice else "")


def sentence(said: object) -> str:
    """Return a text with a capital and a full stop, on a line. None of ours shows a secret."""
    text = " ".join(str(said).split())
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "!", "?", "`")) else ".")
