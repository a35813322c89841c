"""The scripts of this package: each of the files that it needs, with its keys and arguments."""

from typing import Any

from service.redis.scripts import Arguments, Key, Keys, Number, script
from service.sessions.user_scripts import CONSTANTS, user_script


@user_script(
    "sessions/records.lua",
    "sessions/everybody.lua",
    "sessions/others.lua",
    "sessions/open.lua",
    feed=True,
)
def open_session(
    *,
    session_id: bytes,
    session_hex: str,
    token_digest: bytes,
    authentication: bytes,
    proof_flags: Number,
    device: bytes,
    idle_life: Number,
    absolute_life: Number,
    most: Number,
    event: str,
    read: int | str,
    noted: bytes,
    clock: Number,
    valid_until: Number,
    feed_life: Number,
) -> Any:
    """Open a session."""


@script("sessions/open_many.lua", constants=CONSTANTS)
def open_many(*, keys: Keys, arguments: Arguments) -> Any:
    """Open sessions of several users at once."""


@user_script(
    "sessions/rotate.lua",
    "sessions/prelude.lua",
    "sessions/records.lua",
    "sessions/everybody.lua",
    "sessions/living.lua",
    "sessions/rate_limit.lua",
    "sessions/network.lua",
    "sessions/handoffs.lua",
    "sessions/rotate_otherwise.lua",
    "sessions/feed.lua",
    "sessions/finish.lua",
    "sessions/spent.lua",
    feed=True,
    alone=True,
)
def rotate(
    *,
    session_id: bytes,
    session_hex: str,
    presented: bytes,
    presented_generation: Number,
    next_digest: bytes,
    sealed: bytes,
    device: bytes,
    idle_life: Number,
    grace: Number,
    clock: Number,
    valid_until: Number,
    proved: int | str,
    target: Number,
    sure: Number,
    feed_life: Number,
) -> Any:
    """Exchange a refresh token for its successor."""


@user_script("sessions/everybody.lua", "sessions/others.lua", "sessions/end_one.lua", feed=True)
def end_one(*, session_id: bytes, reason: str, by: str, feed_life: int) -> Any:
    """End one session of a user, for a reason of somebody else's."""


@user_script("sessions/end.lua", feed=True, alone=True)
def end(*, session_id: bytes, session_hex: str, presented: bytes, feed_life: int) -> Any:
    """Log out."""


@user_script(
    "sessions/records.lua",
    "sessions/everybody.lua",
    "sessions/others.lua",
    "sessions/living.lua",
    "sessions/caller.lua",
    "sessions/revoke.lua",
    feed=True,
)
def revoke(*, caller: bytes, since: Number, session_id: bytes, feed_life: Number) -> Any:
    """End one of the caller's sessions."""


@user_script(
    "sessions/records.lua",
    "sessions/everybody.lua",
    "sessions/others.lua",
    "sessions/living.lua",
    "sessions/caller.lua",
    "sessions/rate_limit.lua",
    "sessions/row_version.lua",
    "sessions/revoke_all.lua",
    "sessions/cut_off.lua",
    feed=True,
)
def revoke_all(
    *, caller: bytes, since: Number, keep_own: Number, kinds: Number, feed_life: Number
) -> Any:
    """End all of the caller's sessions."""


@user_script("sessions/row_version.lua", "sessions/announce.lua")
def announce() -> Any:
    """Announce a change of the user row."""


@user_script("sessions/row_version.lua", "sessions/call_off.lua")
def call_off() -> Any:
    """Publish that a change of the user row was not made, though it was announced."""


@user_script(
    "sessions/records.lua",
    "sessions/everybody.lua",
    "sessions/others.lua",
    "sessions/row_version.lua",
    "sessions/end_all.lua",
    "sessions/cut_off.lua",
    feed=True,
)
def end_all(
    *,
    keep_id: bytes,
    from_version: int | str,
    row_version: int | str,
    event: str,
    reason: str,
    by: str,
    kinds: Number,
    feed_life: Number,
) -> Any:
    """End all sessions of a user, or all but few."""


@script(
    "sessions/prelude.lua",
    "sessions/feed.lua",
    "sessions/cut_off_everybody.lua",
    constants=CONSTANTS,
)
def cut_off_everybody(
    *,
    events: Key,
    before: Key,
    revoked: Key,
    revocations: Key,
    user: str,
    ip: str,
    request: str,
    reason: str,
    by: str,
    feed_life: int,
) -> Any:
    """End the sessions of everybody in a bucket."""


@script("sessions/read.lua", constants=CONSTANTS, acknowledged=False)
def read(*, index: Key, tag: bytes, session_id: bytes) -> Any:
    """Read a session."""


@script(
    "sessions/everybody.lua",
    "sessions/living.lua",
    "sessions/introspect.lua",
    constants=CONSTANTS,
    acknowledged=False,
)
def introspect(*, index: Key, tag: bytes, session_id: bytes) -> Any:
    """Read a session, and the digest of its refresh token."""


@script(
    "sessions/everybody.lua",
    "sessions/others.lua",
    "sessions/living.lua",
    "sessions/list.lua",
    constants=CONSTANTS,
    acknowledged=False,
)
def list_all(*, index: Key, tag: bytes, caller: bytes) -> Any:
    """List the sessions of the caller."""


@script(
    "sessions/everybody.lua",
    "sessions/others.lua",
    "sessions/count.lua",
    constants=CONSTANTS,
    acknowledged=False,
)
def count(*, index: Key, tag: bytes) -> Any:
    """Count the sessions of a user."""


@script(
    "sessions/records.lua",
    "sessions/everybody.lua",
    "sessions/network.lua",
    "sessions/lives_in.lua",
    constants=CONSTANTS,
    acknowledged=False,
)
def lives_in(*, index: Key, tag: bytes, packed: bytes) -> Any:
    """Tell whether a session of the user lives in the network of a client."""
