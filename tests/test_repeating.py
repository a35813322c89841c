"""What is done again and again in the background goes on, whatever happens once."""

import asyncio
from contextlib import suppress

from service.errors import StoreUnavailable
from service.repeating import repeat
from tests.support.log_state import captured


async def test_nothing_but_a_cancellation_ends_it() -> None:
    """A defect is logged, so that somebody mends it; a store that is away is for readiness."""
    outcomes = iter([ValueError("a defect"), StoreUnavailable("away"), None])
    done = asyncio.Event()

    async def work() -> None:
        outcome = next(outcomes, None)
        if outcome is None:
            return done.set()
        raise outcome

    with captured() as logs:
        task = asyncio.create_task(repeat("work", work, 0))
        await asyncio.wait_for(done.wait(), 5)
        assert not task.done()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert task.cancelled()
    assert [(line["event"], str(line["exc_info"])) for line in logs] == [("work", "a defect")]
