"""What pods have logged of buckets in which Redis had gone back in time."""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from tools.chaos.history import Redone
from tools.chaos.pods import Pod

_EVENT = b'"redis.replayed"'


class _Line(msgspec.Struct, rename="camel"):
    bucket: int
    time: datetime
    entries: int
    cut_off: bool


def redone(pods: Iterable[Pod], began: float) -> list[Redone]:
    """Read it, as far as it was said since the run `began`, in seconds since 1970."""
    found = []
    for pod in pods:
        for line in (pod.directory / "service.log").read_bytes().splitlines():
            if _EVENT not in line:
                continue
            said = msgspec.json.decode(line, type=_Line)
            at = said.time.timestamp() - began
            if at >= 0:
                found.append(
                    Redone(
                        bucket=said.bucket,
                        started=round(at, 3),
                        replayed=said.entries,
                        cut_off=said.cut_off,
                    )
                )
    return found
