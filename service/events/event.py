"""An audit event as a reader gets it, and the id by which it is named everywhere."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from service.clock import moment, timestamp
from service.redis.keys import BUCKETS, numbered

_ID = re.compile(r"([0-3][0-9a-f])-(\d{1,15})-(\d{1,15})", re.ASCII)


class Position(NamedTuple):
    """Where an event stands among all: by time, then by the counter of its entry, then by stream.

    Its text, `<bucket>-<ms>-<counter>`, is the id of the event.
    """

    ms: int
    counter: int
    bucket: int

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Read the id of an event. Raises `ValueError` for what is none."""
        found = _ID.fullmatch(text)
        if found is None:
            raise ValueError("is no id of an event")
        return cls(int(found[2]), int(found[3]), int(found[1], 16))

    @classmethod
    def of_entry(cls, bucket: int, entry_id: bytes) -> "Position":
        """Place the entry with this id in the stream of a bucket."""
        ms, _, counter = entry_id.partition(b"-")
        return cls(int(ms), int(counter), bucket)

    def __str__(self) -> str:
        return f"{self.bucket:02x}-{self.entry}"

    @property
    def entry(self) -> str:
        """The id of the entry in its stream."""
        return f"{self.ms}-{self.counter}"


class AuditEvent(msgspec.Struct, frozen=True):
    """An event: where it stands, and all its fields."""

    position: Position
    fields: Mapping[str, str]

    @property
    def id(self) -> str:
        """Its id, unique over all streams."""
        return str(self.position)

    @property
    def type(self) -> str:
        """What has happened."""
        return self.fields.get("type", "")

    @property
    def user(self) -> str:
        """Whom it is about, in hex; empty if about everybody or nobody who is known."""
        return self.fields.get("user", "")

    @property
    def at(self) -> str:
        """When it happened, by Redis' clock."""
        return timestamp(moment(self.position.ms))

    def document(self) -> dict[str, str]:
        """Describe it for JSON: id and time, then its fields as they are."""
        return {"id": self.id, "at": self.at, **self.fields}


def read_entries(bucket: int, reply: Sequence[Any]) -> list[AuditEvent]:
    """Read the reply of `XRANGE` or `XREVRANGE`, in its order."""
    return [_event(bucket, entry_id, values) for entry_id, values in reply]


def stream_of(bucket: int) -> bytes:
    """Name the stream of a bucket."""
    return numbered(bucket).events


ALL_STREAMS = range(BUCKETS)
"""The numbers of all streams."""


def _event(bucket: int, entry_id: bytes, values: Sequence[bytes]) -> AuditEvent:
    texts = [value.decode("utf-8", "replace") for value in values]
    return AuditEvent(
        Position.of_entry(bucket, entry_id), dict(zip(texts[::2], texts[1::2], strict=True))
    )
