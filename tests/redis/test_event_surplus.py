"""Room in a stream that is nearly full: of whoever has written most, and of nobody else."""

from collections import Counter

from service.redis.event_surplus import Entry, surplus

ANN, BOB, CY = b"ann", b"bob", b"cy"
MOST = 320


def stream(*parts: tuple[bytes, int, bytes]) -> list[Entry]:
    """So many events of a type of each, in this order, newest first as they are read."""
    written = [(user, kind) for user, count, kind in parts for _ in range(count)]
    entries = [(str(number).encode(), kind, user) for number, (user, kind) in enumerate(written)]
    return entries[::-1]


def left(entries: list[Entry]) -> Counter[bytes]:
    """How many each has when what is too much is gone."""
    gone = set(surplus(entries, MOST))
    return Counter(user for entry, _, user in entries if entry not in gone)


def test_who_rests_pays_for_who_writes() -> None:
    """Wherever the flood stands, before, between or after what others did."""
    for place in range(3):
        parts = [(BOB, 20, b"x"), (CY, 30, b"x")]
        parts.insert(place, (ANN, 260, b"x"))
        assert left(stream(*parts)) == {ANN: 190, BOB: 20, CY: 30}


def test_those_who_have_most_are_brought_down_together() -> None:
    """To the same number; who has less loses nothing."""
    assert left(stream((ANN, 200, b"x"), (BOB, 120, b"x"), (CY, 40, b"x"))) == {
        ANN: 100, BOB: 100, CY: 40,
    }  # fmt: skip


def test_of_an_account_what_strangers_tried_goes_first() -> None:
    """Then the newest: nobody gets rid of what he did before."""
    entries = stream((ANN, 100, b"old"), (ANN, 30, b"user.passwordFailed"), (ANN, 180, b"new"))
    gone = set(surplus(entries, MOST))
    kinds = Counter(kind for entry, kind, _ in entries if entry in gone)
    assert kinds == {b"user.passwordFailed": 30, b"new": 40}


def test_operators_acts_and_many_people_lose_nothing() -> None:
    """What is nobody's stays, and nobody who has a few."""
    people = [(str(number).encode(), 10, b"x") for number in range(31)]
    assert surplus(stream(*people), MOST) == []
    assert surplus(stream((b"", 310, b"apiKey.created")), MOST) == []
