"""Until when a row in memory is good: by the clock, the user store, and Redis."""

from datetime import UTC, datetime

import msgspec
import pytest

from service.accounts import row_memory
from service.accounts.row_memory import RowMemory
from service.accounts.user_rows import User

ADA = User(b"\x01" * 16, "ada@example.com", datetime(2026, 1, 2, tzinfo=UTC), version=7)


class Desk:
    """A clock that is put by hand."""

    now = 1000.0


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk()
    monkeypatch.setattr(row_memory, "monotonic", lambda: desk.now)
    return desk


@pytest.fixture(params=[10_000, 0], ids=["ready", "packed"])
def memory(
    desk: Desk, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> RowMemory:
    """A memory that has Ada's row, ready or packed."""
    monkeypatch.setattr(row_memory, "_LATEST", request.param)
    memory = RowMemory()
    memory.keep(ADA, desk.now)
    return memory


def has_her(memory: RowMemory) -> bool:
    return memory.find(ADA.id, 7) == ADA


def test_it_is_good_for_its_version(memory: RowMemory) -> None:
    """And for no other, older or newer."""
    assert has_her(memory)
    assert memory.find(ADA.id, 6) is memory.find(ADA.id, 8) is None
    assert memory.find(b"\x02" * 16, 7) is None


def test_it_is_good_for_two_seconds(memory: RowMemory, desk: Desk) -> None:
    """By itself; as often as it is confirmed."""
    for _ in range(3):
        desk.now += 1.9
        assert has_her(memory)
        memory.confirm(ADA.id, 7, desk.now)
    desk.now += 2.1
    assert not has_her(memory)


def test_it_is_good_while_the_store_is_seen(memory: RowMemory, desk: Desk) -> None:
    """To be what it was; an hour at the most, and then it is to be confirmed."""
    for desk.now in (1500.0, 4500.0):
        assert not has_her(memory)
        memory.see_store(desk.now - 1.9)
        assert has_her(memory)
        assert memory.take_used() == [ADA.id]
        assert memory.take_used() == []
    desk.now = 4601.0
    memory.see_store(desk.now)
    assert not has_her(memory)


def test_doubt_ends_it(memory: RowMemory, desk: Desk) -> None:
    """However fresh it is: until it was read or confirmed after that."""
    desk.now += 1
    memory.see_store(desk.now)
    memory.doubt()
    assert not has_her(memory)
    memory.confirm(ADA.id, 7, desk.now)
    assert not has_her(memory), "asked for at that very moment"
    desk.now += 0.1
    memory.confirm(ADA.id, 7, desk.now)
    assert has_her(memory)


@pytest.mark.parametrize("version", [6, 8, None])
def test_another_version_ends_it(memory: RowMemory, desk: Desk, version: int | None) -> None:
    """In the store, or none; but not what was asked for before the row was read."""
    memory.confirm(ADA.id, version, desk.now - 1)
    assert has_her(memory)
    memory.confirm(ADA.id, version, desk.now + 1)
    assert not has_her(memory)


def test_it_is_good_while_the_store_is_away(memory: RowMemory, desk: Desk) -> None:
    """As it is, whatever is doubted; who uses it meanwhile is not remembered for ever."""
    memory.is_away = True
    memory.doubt()
    desk.now += 10_000
    assert has_her(memory)
    assert memory.take_used() == []
    memory.is_away = False
    assert not has_her(memory)


def test_a_new_version_takes_its_place(memory: RowMemory, desk: Desk) -> None:
    """Also where one is packed and the other is not."""
    newer = msgspec.structs.replace(ADA, version=9)
    memory.keep(newer, desk.now)
    assert memory.find(ADA.id, 9) == newer
    assert not has_her(memory)
    memory.forget(ADA.id)
    assert memory.find(ADA.id, 9) is None


def test_it_is_forgotten_in_time(memory: RowMemory, desk: Desk) -> None:
    """Within an hour after the hour, if each second some are looked at."""
    for _ in range(3600):
        memory.sweep()
    assert has_her(memory)
    desk.now += 3601
    for _ in range(3600):
        memory.sweep()
    memory.is_away = True  # when all that is kept is good
    assert not has_her(memory)
