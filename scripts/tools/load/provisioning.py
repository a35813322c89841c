"""Where virtual users come from: a file, or accounts that are made for the run."""

import asyncio
import math
import secrets
import time
from collections.abc import Iterable

from service.cli.progress import Progress
from tools.http_load.concurrently import gather
from tools.http_load.connection import LostError
from tools.load.arrivals import Plan
from tools.load.calls import Calls, hold, refusal
from tools.load.scenarios import Scenarios
from tools.load.target import UnusableError
from tools.load.tokens import TokenFile
from tools.load.virtual_users import Account, VirtualUser

MOST_SIGN_UPS = 2000
"""Each costs the service a password hash, a quarter of a second of a core."""

_AT_ONCE = 4
_PATIENCE = 120.0  # seconds that a service may go on turning sign-ups away


def sessions_used_up(plan: Plan) -> int:
    """Count the sessions a run may end, with a margin that chance exceeds once in 30,000 runs.

    Logins are not set off against it: the service may turn them all away.
    """
    expected = plan.mix.share("logout") * plan.rate * plan.seconds
    return math.ceil(expected + 4 * math.sqrt(expected))


def from_file(file: TokenFile, count: int) -> list[VirtualUser]:
    """Take so many users.

    Raises:
        UnusableError: there are not so many left.
    """
    users = file.take(count)
    if len(users) < count:
        file.put_back(users)
        raise UnusableError(
            f"the run needs {count:,} sessions, {len(users):,} are left in the file;"
            " seed more, or ask for a lower --rate, a shorter --duration or fewer --people"
        )
    return users


async def signed_up(calls: Calls, count: int) -> list[VirtualUser]:
    """Sign up so many new users, with a progress bar.

    Raises:
        UnusableError: they are too many, or the service does not let them sign up.
    """
    if count > MOST_SIGN_UPS:
        raise UnusableError(
            f"the run needs {count:,} sessions; signing up more than {MOST_SIGN_UPS:,} would take"
            " the service too long: use scripts/seed --export FILE and --tokens FILE"
        )
    users: list[VirtualUser] = []
    with Progress("signing up", count) as progress:

        async def one(_: int) -> None:
            users.append(await _sign_up(calls))
            progress.advance(1)

        await gather(one, range(count), _AT_ONCE)
    return users


async def _sign_up(calls: Calls) -> VirtualUser:
    account = Account(f"{secrets.token_hex(10)}@load.example", secrets.token_urlsafe(15))
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            answer = await calls.sign_up(account.email, account.password)
        except LostError as error:
            raise UnusableError(f"nobody could sign up: {error}") from None
        if answer.status == 201:
            break
        if answer.status == 429:
            raise UnusableError("the service limits sign-ups; start it with SERVICE_RATE_LIMIT=off")
        if not answer.asks_to_retry or time.monotonic() > deadline:
            raise UnusableError(f"nobody could sign up: {refusal(answer)}")
        await asyncio.sleep(1)
    return hold(VirtualUser(account), answer)


async def refresh_stale(scenarios: Scenarios, users: Iterable[VirtualUser]) -> None:
    """Give a new access token to all whose own has ended or is about to, before anything counts.

    Raises:
        UnusableError: the service refuses one.
    """
    stale = [user for user in users if scenarios.is_stale(user)]
    if not stale:
        return
    with Progress("refreshing old tokens", len(stale)) as progress:

        async def one(user: VirtualUser) -> None:
            fresh, _ = await scenarios.prepare(user, time.perf_counter())
            if not fresh:
                raise UnusableError(
                    "the service refuses a session of the file: seed it anew, into the Redis and"
                    " the user store of this service"
                )
            progress.advance(1)

        await gather(one, stale, _AT_ONCE * 4)
