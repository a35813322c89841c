"""The mark that says whose feed a Redis holds: one in each bucket, `revoked:issuer:{b}`.

It is a stream of exactly one entry with the field `iss`, the SERVICE_ISSUER of whoever writes the
feed. A stream, so that the ACL rule which lets a guard read the feed lets it read the mark. Where
it is absent, another issuer's or malformed, this is not the Redis that was meant: another database,
another server, another deployment's.
"""

from collections.abc import Sequence

ISSUER_FIELD = b"iss"


def issuer_in(entries: Sequence[tuple[bytes, Sequence[bytes]]]) -> str | None:
    """Read the issuer that the entries of a mark name.

    None: there is no mark. Empty: it is malformed, and nobody's. `entries` are those of XREAD or
    XRANGE, two at least if there are as many.
    """
    if not entries:
        return None
    fields = entries[0][1]
    if len(entries) > 1 or len(fields) != 2 or fields[0] != ISSUER_FIELD:
        return ""
    return fields[1].decode("utf-8", "replace")
