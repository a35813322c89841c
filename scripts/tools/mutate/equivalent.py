"""Mutants that change nothing anybody could notice, each with the reason."""

from tools.mutate.mutant import Mutant

_ONE_MS = "one millisecond of a window or a life, which no caller can tell from the time of a call"

EQUIVALENT: dict[tuple[str, str], str] = {
    (
        "service/sessions/rate_limit.lua",
        "< → <= in if oldest and now - oldest < CALLS_WINDOW then",
    ): _ONE_MS,
    (
        "service/sessions/rate_limit.lua",
        ">= → > in if now - last >= CALLS_WINDOW then return nil end",
    ): _ONE_MS,
    (
        "service/sessions/row_version.lua",
        "> → >= in if now - began > LONGEST_CHANGE then count = 0 end",
    ): _ONE_MS,
    (
        "service/sessions/row_version.lua",
        "< → <= in if redis.call('PTTL', index) < LONGEST_CHANGE then "
        "redis.call('PEXPIRE', index, LONGEST_CHANGE) end",
    ): "gives an index the life that it has",
}
"""By path and change, as `scripts/mutate --list` writes them."""


def is_equivalent(mutant: Mutant) -> bool:
    """Whether this mutant is known to have no effect."""
    return (mutant.path, mutant.change) in EQUIVALENT
