"""Reports of guards, as tests spell them whole."""

from collections.abc import Sequence

import msgspec

from service.redis.guard_position import LAYOUT, About, FeedPosition, packed_position


def pack(positions: Sequence[FeedPosition], about: About) -> bytes:
    """A report. A guard spells anew only what has moved (`service/guard/report.py`)."""
    return LAYOUT + b"".join(map(packed_position, positions)) + msgspec.json.encode(about)
