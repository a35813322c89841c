"""What calls cost with few and with many connections at once."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmark import processes, speed
from benchmark.calls import BY_NAME
from benchmark.curves import Crowd
from benchmark.steps import Steps

COUNTS = (1, 8, 32, 64)

_CALLS = tuple(BY_NAME[name] for name in ("logout", "me", "refresh"))


async def measure(binary: Path | None, pace: speed.Pace, tell: Steps) -> Sequence[Crowd]:
    """About as many requests for each number of connections, in half as many rounds."""
    crowds = []
    for count in COUNTS:
        requests = max(1, pace.connections * pace.requests // count)
        own = speed.Pace(count, requests, (pace.rounds + 1) // 2)

        def say(step: str, count: int = count) -> None:
            tell(f"{count} connections, {step}")

        with TemporaryDirectory() as name, processes.redis_server(Path(name), binary) as redis:
            floor, rows = await speed.measure(Path(name), redis, _CALLS, own, say)
        crowds.append(Crowd(count, floor, rows))
    return crowds
