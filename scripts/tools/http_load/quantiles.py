"""The one quantile of all figures."""

import math
from collections.abc import Sequence


def quantile(ordered: Sequence[float], share: float) -> float:
    """Find the smallest value not exceeded by this share of them; 0 where there are none.

    `ordered` is sorted; `share` lies between 0 and 1 (nearest rank).
    """
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
