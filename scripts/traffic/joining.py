"""Where people come from: a file, or accounts that are made for the run."""

import math
import secrets
import time
from collections.abc import Iterable

import gevent
from gevent.pool import Pool

from service.progress import Progress
from traffic.arrivals import Plan
from traffic.calls import Calls, hold, refusal
from traffic.errands import Errands
from traffic.errors import UnusableError
from traffic.people import Account, Person
from traffic.tokens import TokenFile
from traffic.wire import LostError

MOST_SIGN_UPS = 2000
"""Each costs the service a password hash, a quarter of a second of a core."""

_AT_ONCE = 4
_PATIENCE = 120.0  # seconds that a service may go on turning sign-ups away


def sessions_used_up(plan: Plan) -> int:
    """How many sessions a run may end, with a margin that chance exceeds once in 30,000 runs.

    Logins are not set off against it: the service may turn them all away.
    """
    expected = plan.mix.share("logout") * plan.rate * plan.seconds
    return math.ceil(expected + 4 * math.sqrt(expected))


def from_file(file: TokenFile, count: int) -> list[Person]:
    """So many people.

    Raises:
        UnusableError: there are not so many left.
    """
    people = file.take(count)
    if len(people) < count:
        file.put_back(people)
        raise UnusableError(
            f"the run needs {count:,} sessions, {len(people):,} are left in the file;"
            " seed more, or ask for a lower --rate, a shorter --duration or fewer --people"
        )
    return people


def signed_up(calls: Calls, count: int) -> list[Person]:
    """So many new people, with a progress bar.

    Raises:
        UnusableError: they are too many, or the service does not let them sign up.
    """
    if count > MOST_SIGN_UPS:
        raise UnusableError(
            f"the run needs {count:,} sessions; signing up more than {MOST_SIGN_UPS:,} would take"
            " the service too long: use scripts/seed --export FILE and --tokens FILE"
        )
    with Progress("signing up", count) as progress:
        pool = Pool(_AT_ONCE)
        return list(pool.imap_unordered(lambda _: _sign_up(calls, progress), range(count)))


def _sign_up(calls: Calls, progress: Progress) -> Person:
    account = Account(f"{secrets.token_hex(10)}@load.example", secrets.token_urlsafe(15))
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            answer = calls.sign_up(account.email, account.password)
        except LostError as error:
            raise UnusableError(f"nobody could sign up: {error}") from None
        if answer.status == 201:
            break
        if answer.status == 429:
            raise UnusableError("the service limits sign-ups; start it with SERVICE_RATE_LIMIT=off")
        if not answer.asks_to_retry or time.monotonic() > deadline:
            raise UnusableError(f"nobody could sign up: {refusal(answer)}")
        gevent.sleep(1)
    person = Person(account, "", "", 0)
    hold(person, answer)
    progress.advance(1)
    return person


def refresh_stale(errands: Errands, people: Iterable[Person]) -> None:
    """Give a new access token to all whose own has ended or is about to, before anything counts.

    Raises:
        UnusableError: the service refuses one.
    """
    stale = [person for person in people if errands.is_stale(person)]
    if not stale:
        return
    with Progress("refreshing old tokens", len(stale)) as progress:

        def one(person: Person) -> None:
            fresh, _ = errands.prepare(person, time.perf_counter())
            if not fresh:
                raise UnusableError(
                    "the service refuses a session of the file: seed it anew, into the Redis and"
                    " the user store of this service"
                )
            progress.advance(1)

        for _ in Pool(_AT_ONCE * 4).imap_unordered(one, stale):
            pass
