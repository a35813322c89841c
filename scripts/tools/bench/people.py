"""The memory of a worker that is asked by ever more people, each for the first time.

Rows of people stay in its memory up to a bound (`service/accounts/row_memory.py`), and nothing else
may grow with their number. This holds on a machine that others use, too: memory is no time.
"""

from argparse import Namespace

from tools.bench.calls import BY_NAME
from tools.bench.harness import Generator, place
from tools.bench.processes import embedded
from tools.bench.results import Found, Row
from tools.http_load.proc import resident
from tools.report.progress import StatusLine

_ON_EACH = 500  # requests, of people of their own, on each connection at a time
_TARGET = 400.0  # MB, with all of them


async def measure(told: Namespace, tell: StatusLine) -> Found:
    """Have people ask one worker; look at its memory at a hundredth, a tenth, and at the end."""
    rows: list[Row] = []
    seen = 0
    async with place(embedded(told.redis)) as here:
        with here.service() as service, Generator() as generator:
            for share in (0, 0.01, 0.1, 1):
                wanted = round(told.people * share)
                while seen < wanted:
                    tell(f"memory of a worker, {seen:,} of {told.people:,} people seen")
                    each = min(_ON_EACH, -(-(wanted - seen) // told.connections))
                    await generator.call(here, service, BY_NAME["me_first"], told.connections, each)
                    seen += (each + min(each, 10)) * told.connections  # those of the warm-up, too
                like = Row("people", "a worker", "", 0, by="people", at=wanted)
                held = round(resident(service.pid) / 1e6, 1)
                rows.append(like.figure("resident", held, "MB", _TARGET if share == 1 else None))
    note = f"Each asked once, on {told.connections} connections, one after the other."
    return Found(rows, {"people": note})
