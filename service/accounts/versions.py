"""By how much a change raises the version of a user's row.

At random: were changes counted, a store that was restored would give the same numbers to other
rows.
"""

import secrets

_LONGEST_STEP = 2**31
"""The most that a version grows by. Scripts count exactly up to 2^53: four million changes."""


def step() -> int:
    """Draw by how much the version grows with this change."""
    return 1 + secrets.randbelow(_LONGEST_STEP)
