"""Mutants that change nothing anybody could notice, each with the reason."""

from tools.mutate.mutant import Mutant

EQUIVALENT: dict[tuple[str, str], str] = {}
"""By path and change, as `scripts/mutate --list` writes them."""


def is_equivalent(mutant: Mutant) -> bool:
    """Whether this mutant is known to have no effect."""
    return (mutant.path, mutant.change) in EQUIVALENT
