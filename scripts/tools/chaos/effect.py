"""What a fault has done."""

import msgspec


class Effect(msgspec.Struct, frozen=True):
    """To whom, and when, in seconds since the run began, it certainly was in effect."""

    target: str
    since: float = 0.0
    until: float = 0.0
    ahead: float = 0.0
    """Seconds by which the target's clock was ahead."""
