"""Every key name and every fixed life in Redis. No other module spells one.

All keys of a user share one of 64 hash tags, `{00}` to `{3f}`, so that one script may change them
all atomically, on a cluster as well as on a standalone server.

| key                            | type   | holds                                | life            |
| ------------------------------ | ------ | ------------------------------------ | --------------- |
| `session:{b}:<token digest>`   | string | a session record (`record.py`)       | idle, absolute  |
| `sessions:{b}:<uid>`           | hash   | session id → digest of its token;    | longest session |
|                                |        | `v`, `c`, `d`: see `row_version.py`  | and 1/128 more  |
| `handoff:{b}:<sid>`            | string | digest spent, sealed successor       | the grace       |
| `pending2fa:{b}:<uid>`         | string | enrolment id, wrong tries, sealed    | the enrolment's |
| `challenge:{b}:<sha256>`       | string | user, enrolment, wrong tries         | the challenge's |
| `challenge:{b}:<sha256>:row`   | string | version of the user row behind it    | the challenge's |
| `ticket:{b}:<purpose>:<uid>`   | string | a ticket (`tickets/tickets.py`)      | the ticket's    |
| `ticket:{b}:undo:<uid>`        | hash   | digest → when, and such a ticket     | longest ticket  |
| `mail:{b}`                     | stream | sealed messages that wait (`mail/`)  | a day           |
| `ticket:{b}:floor`             | string | tickets minted by then are none, ms  | permanent       |
|                                |        | (`rollback/floors.py`)               |                 |
| `ticket:{b}:upstream:<digest>` | hash  | sessions of a provider's             | longest session |
|                                |        | (`sessions/upstream.py`)             |                 |
| `ticket:{b}:ended:<digest>`    | string | how many logouts of a provider's     | an hour         |
| `ticket:{b}:logout:<digest>`   | string | nothing: a logout token was used     | the token's     |
| `totp:{b}:<enrolment id>`      | string | last accepted step                   | a few steps     |
| `totp:{b}:floor`               | string | up to which all steps count as used  | permanent       |
|                                |        | (`rollback/floors.py`)               |                 |
| `attempts:{b}:<what>:<digest>` | list   | times of attempts, µs; what there    | limit's window  |
|                                |        | is stands in `docs/limits.md`        |                 |
| `events:{b}`                   | stream | audit events (`docs/events.md`)      | capped          |
| `events:{b}:dropped`           | string | how many went before their time      | a week          |
| `events:{b}:sink:<name>`       | hash   | how far a sink has got, and a lease  | permanent       |
| `events:{00}:pods:<name>`      | hash   | who brings events to that sink       | a lease         |
| `events:{b}:parties`           | string | nothing; while it is there, events   | a day           |
|                                |        | name all sessions that have ended    |                 |
| `revoked:{b}`                  | stream | the feed: ends of sessions           | capped          |
| `revocations:{b}`              | string | how many entries the feed has had    | permanent       |
| `revocations:joined:{b}:<pod>` | string | what a process missed in a server,   | 20 min          |
|                                |        | by its run id (`rollback/peers.py`)  |                 |
| `revoked:issuer:{b}`           | stream | the feed's mark (`feed_mark.py`)     | permanent       |
| `revoked:before:{b}`           | string | cut-off of everybody: ms; sessions   | permanent       |
|                                |        | opened by then have ended            |                 |
| `revoked:asked:{b}`            | stream | the last wishes that guards say how  | permanent       |
|                                |        | far they have read                   |                 |
| `revoked:beat:{b}`             | stream | the last heartbeat (`heartbeats.py`) | permanent       |
| `revoked:compared:{b}`         | stream | when its feeds were last compared    | permanent       |
|                                |        | (`comparisons.py`)                   |                 |
| `guard:{00}:<guard id>`        | string | how far a guard has read             | 15 s            |
|                                |        | (`guard_position.py`)                |                 |
| `revoked:guards:{00}`          | hash   | the ids of guards that have said so  | permanent       |
| `barrier:{b}`                  | string | nothing; see `probe.lua`             | a minute        |

An entry of the feed has `n`, its number, and what has ended before its time: `s`, the id of a
session, or a cut-off (`service/guard/entries.py`). Numbers are consecutive, and of the entries that
matter no more the newest stays: so a reader notices what was trimmed or lost before it came.

Digests of refresh tokens have 16 bytes (`refresh_tokens.py`). Digests and ids are raw bytes: as
text they would cost some 30 bytes more a session.
"""

from datetime import timedelta

EVENTS_KEPT = 20_000
"""Audit events kept in each of the 64 streams at most, unless it is set otherwise."""

DROPPED, DROPPED_LIFE = ":dropped", 604_800_000
"""What the name of a stream goes on with for the count of events that went before their time, which
is taken over within seconds; its life in ms, for a script."""

SINK = ":sink:"
"""What it goes on with for the state of a sink; its name follows (`sinks/state.py`)."""

PODS = ":pods:"
"""What that of bucket 0 goes on with for those who bring events to a sink; its name follows."""

SINK_LEFT_LIFE = 3_600_000
"""How long that of a relying party is kept after its registration has ended, ms: who has not heard
of that goes on by it."""

PARTIES, PARTIES_LIFE = ":parties", timedelta(days=1)
"""What it goes on with for the key that is there while there are relying parties, which have to be
told of each session (`relying_parties`); processes that serve write it anew."""

WATERMARK_LIFE = timedelta(minutes=5)
"""How long the last accepted TOTP step is kept. A code can be presented for 90 seconds."""

OUTBOX_LIFE = timedelta(days=1)
"""How long messages wait for somebody to send them. The last try is an hour and a half after the
first."""

UPSTREAM_LOGOUT_LIFE = timedelta(hours=1)
"""How long it is known that a provider has logged somebody out: longer than a login takes."""

UPSTREAM_LOGOUT_LEASE = timedelta(seconds=10)
"""How long a logout token counts as used while what it asks for is done."""

FEED_SKEW = timedelta(seconds=60)
"""What clocks may differ by. An entry of the feed matters for an access token's life and this."""

CLOCK_SKEW = timedelta(minutes=1)
"""A process whose clock is so far from Redis' judges no codes and signs no access tokens."""

LONGEST_CHANGE = timedelta(seconds=60)
"""The longest that a change of a user row takes: who has not published it by then was killed."""

SESSION, HANDOFF, ATTEMPTS = "session:", "handoff:", "attempts:"
"""What these keys begin with, for the scripts that find out which ones they need: they go on with
`Bucket.tag`."""

FLOOR = "floor"
"""What `Bucket.totp` and `Bucket.ticket` go on with where they name none, but all of the bucket."""

BEFORE = "revoked:before:"
"""The same for `Bucket.before`, which goes on with the tag alone."""

GUARD, GUARD_LIFE = "guard:", 15_000
"""What the keys of guards begin with, before the tag and an id; their life in ms. All are in one
bucket, `GUARDS_BUCKET`, so that one script reads them all."""

GUARDS_BUCKET = 0

MOST_WISHES = 64
"""Wishes kept that guards say how far they have read: of those who log out at one moment each waits
for another bucket."""

BARRIER = "barrier:"
BARRIER_LIFE = 60_000
"""The life of a key written only so that replicas have something to acknowledge; ms."""

JOINED_LIFE = timedelta(minutes=20)
"""How long it is known that a process has told what it missed; it says so again in time."""

BUCKETS = 64

TAGS = tuple(b"{%02x}" % bucket for bucket in range(BUCKETS))


class Bucket:
    """The keys of one of the 64 buckets, as prefixes or whole names."""

    __slots__ = (
        "asked",
        "attempts",
        "beat",
        "before",
        "challenge",
        "compared",
        "events",
        "guard",
        "guards",
        "index",
        "issuer",
        "joined",
        "mail",
        "pending",
        "revocations",
        "revoked",
        "tag",
        "ticket",
        "ticket_floor",
        "totp",
        "totp_floor",
    )

    def __init__(self, tag: bytes) -> None:
        self.tag = tag + b":"
        self.index = b"sessions:" + tag + b":"
        self.pending = b"pending2fa:" + tag + b":"
        self.challenge = b"challenge:" + tag + b":"
        self.ticket = b"ticket:" + tag + b":"
        self.ticket_floor = self.ticket + FLOOR.encode()
        self.mail = b"mail:" + tag
        self.totp = b"totp:" + tag + b":"
        self.totp_floor = self.totp + FLOOR.encode()
        self.attempts = b"attempts:" + tag + b":"
        self.events = b"events:" + tag
        self.revoked = b"revoked:" + tag
        self.revocations = b"revocations:" + tag
        self.joined = b"revocations:joined:" + tag + b":"
        self.issuer = b"revoked:issuer:" + tag
        self.before = BEFORE.encode() + tag
        self.asked = b"revoked:asked:" + tag
        self.beat = b"revoked:beat:" + tag
        self.compared = b"revoked:compared:" + tag
        self.guard = GUARD.encode() + tag + b":"
        self.guards = b"revoked:guards:" + tag


EVERY_PENDING = b"pending2fa:*"
"""The keys of all pending enrolments, as a pattern for SCAN."""

_BUCKETS = tuple(Bucket(tag) for tag in TAGS)

KINDS = tuple(
    sorted(
        {getattr(_BUCKETS[0], name).partition(b":")[0].decode() for name in Bucket.__slots__}
        - {TAGS[0].decode()}
        | {name.partition(":")[0] for name in (SESSION, HANDOFF, BARRIER)}
    )
)
"""What the names of keys begin with, up to the first colon."""


def bucket_number(minted: bytes) -> int:
    """Return 0 to 63 for a user id, or any other minted id or digest, all evenly spread."""
    return minted[0] & (BUCKETS - 1)


def numbered(number: int) -> Bucket:
    """Return the bucket of this number."""
    return _BUCKETS[number]


def bucket(minted: bytes) -> Bucket:
    """Return the bucket of a user id, or of any other minted id or digest."""
    return _BUCKETS[minted[0] & 0x3F]


def bucket_of(key: bytes) -> int:
    """Read the number of the bucket that a key lies in from its tag."""
    start = key.index(b"{") + 1
    return int(key[start : start + 2], 16)


def position_of(entry_id: bytes) -> tuple[int, int]:
    """Read the id of a stream's entry: ms, and the place among those of that time."""
    milliseconds, _, place = entry_id.partition(b"-")
    return int(milliseconds), int(place)
