"""`python -m tests.support.shifted_service serve`: the service, whose clock is CLOCK_AHEAD s ahead.

For what a service makes of a wrong clock it does what libfaketime does (`faketime.py`), and it does
so on every machine; what asks the system for the time without `service/clock.py` stays right.
"""

import os
import sys
from datetime import datetime, timedelta

import service.clock

_right = service.clock.system_clock
_ahead = timedelta(seconds=float(os.environ["CLOCK_AHEAD"]))


def _shifted() -> datetime:
    return _right() + _ahead


if __name__ == "__main__":
    service.clock.system_clock = _shifted
    from service.cli.program import main  # which takes the clock that it finds

    sys.exit(main())
