"""What the journal keeps, and whether it has all that a Redis has lost."""

import pytest

from service.rollback.entries import Batch, Coverage, Entry, packed, unpacked
from service.rollback.journal import batches_of

USER = bytes(16)


def entry(number: int, user: bytes = USER) -> Entry:
    """The end of a session."""
    return Entry(number, f"{number}-0", "s", user, bytes(12))


def batch(first: int, last: int, *, whole: bool = True, user: bytes = USER) -> Batch:
    """Entries with these numbers."""
    return Batch(3, tuple(entry(number, user) for number in range(first, last + 1)), whole)


def test_entries_are_kept_as_they_are() -> None:
    """Packed for a column, and unpacked."""
    entries = (
        entry(1),
        Entry(2, "5-1", "u", USER, bytes(24), 7),
        Entry(3, "6-0", "g", b"", b"", 9),
        Entry(4, "7-0", "of a newer version", USER),
    )
    assert unpacked(packed(entries)) == entries


@pytest.mark.parametrize(
    ("had", "batches", "is_whole"),
    [
        (0, [batch(1, 2), batch(3, 5)], True),
        (1, [batch(1, 2), batch(3, 5)], True),
        (2, [batch(3, 5)], True),
        (0, [batch(3, 5)], True),  # what came before was pruned: it is too old to matter
        (0, [], False),
        (0, [batch(1, 4)], False),  # behind
        (0, [batch(3, 5, whole=False)], False),  # the first that this journal ever had
        (2, [batch(3, 5, whole=False)], True),
        (0, [batch(1, 2), batch(4, 5, whole=False)], False),
        (0, [batch(1, 2), batch(4, 5)], False),  # a user store that was restored
        (0, [batch(1, 2), batch(3, 5, user=b"")], False),  # whose sessions these were is not known
        (0, [Batch(3, (*batch(1, 4).entries, Entry(5, "5-0", "x", USER)), True)], False),
        (3, [batch(1, 3, user=b""), batch(4, 5)], True),
        (0, [batch(1, 3), batch(2, 5)], True),  # two have written
    ],
)
def test_coverage(had: int, batches: list[Batch], is_whole: bool) -> None:
    """Whole is only what has every entry up to the one that is expected, 5."""
    coverage = Coverage(had, 5)
    taken = [entry.number for each in batches for entry in coverage.take(each)]
    assert coverage.is_whole is is_whole
    assert min(taken, default=had + 1) > had


def test_batches_are_parted_where_an_entry_misses() -> None:
    """Each tells whether it follows what was before, be that the journal or the batch before."""
    entries = [entry(number) for number in (4, 5, 7, 8)]
    assert batches_of(3, entries, 3) == [batch(4, 5), batch(7, 8, whole=False)]
    assert batches_of(3, entries, 2)[0] == batch(4, 5, whole=False)
    parts = batches_of(3, [entry(number) for number in range(1, 1_202)], 0)
    assert [(part.first, part.last, part.is_whole) for part in parts] == [
        (1, 500, True),
        (501, 1_000, True),
        (1_001, 1_201, True),
    ]
