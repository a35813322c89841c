"""A batch of events as sinks get it, each chained to the one before.

The digest of a batch is SHA-256 over the digest of the one before (32 zero bytes of the first) and
its events, each as one line of JSON with a line feed. So whoever has the last digest, or a
signature of it, notices whatever was cut out or changed before it.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property

import msgspec

from service.events.event import AuditEvent

NOTHING_BEFORE = bytes(32)

Signer = Callable[[bytes], tuple[str, bytes] | None]
"""Signs a digest: the name of the key, and the signature (ES256, r and s). `None`: not now."""


class BatchHead(msgspec.Struct, frozen=True, omit_defaults=True):
    """What stands beside the events of a batch. Digests and signature are in hex."""

    batch: int
    bucket: int
    first: str
    last: str
    count: int
    before: str
    digest: str
    kid: str = ""
    signature: str = ""


class Batch(msgspec.Struct, frozen=True, dict=True):
    """Some events of a stream, in order; the how manieth batch it is; the digest of the last."""

    number: int
    bucket: int
    before: bytes
    events: Sequence[AuditEvent]
    signed: tuple[str, bytes] | None = None

    @cached_property
    def lines(self) -> list[bytes]:
        """The events as lines of JSON, without line feeds."""
        return [line_of(event) for event in self.events]

    @cached_property
    def digest(self) -> bytes:
        """The digest of this batch."""
        return digest_of(self.before, self.lines)

    @property
    def head(self) -> BatchHead:
        """Describe it."""
        kid, signature = self.signed or ("", b"")
        return BatchHead(
            self.number,
            self.bucket,
            self.events[0].id,
            self.events[-1].id,
            len(self.events),
            self.before.hex(),
            self.digest.hex(),
            kid,
            signature.hex(),
        )


def unsigned(digest: bytes) -> None:
    """Sign nothing: of a sink that keeps no copy."""


def line_of(event: AuditEvent) -> bytes:
    """Spell an event as a line of JSON: the same bytes each time."""
    return msgspec.json.encode(event.document())


def digest_of(before: bytes, lines: Sequence[bytes]) -> bytes:
    """Compute the digest of a batch of these lines."""
    return hashlib.sha256(before + b"".join(line + b"\n" for line in lines)).digest()
