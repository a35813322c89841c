"""A target that is missed must be seen as missed."""

import msgspec
from tools.bench.results import Found, Report, Row
from tools.bench.tables import refreshed, shown

LOGOUT = Row("calls", "logout", "× floor", 3.2, limit=3)
REDIS = Row("calls", "logout", "Redis CPU", 20.5, "µs", limit=20)
ABOUT = ("2026-11-22T20:00:00+00:00", "a machine", "software", "Valkey 9.1.2")
PAGE = "<!-- figures: targets -->\nold\n<!-- end -->\n<!-- figures: storm -->\nkept\n<!-- end -->"


def report(ratio: float) -> Report:
    return Report(*ABOUT, rows=[msgspec.structs.replace(LOGOUT, value=ratio), REDIS])


def test_missed_and_met() -> None:
    """At the limit it is met; above, it is not; where more is better, below it is not."""
    assert [row.met for row in report(3.0).rows] == [True, False]
    assert [row.met for row in report(3.01).rows] == [False, False]
    share = Row("flood", "login", "of bare hashes", 90, "%", limit=90, at_least=True)
    assert share.met
    assert not msgspec.structs.replace(share, value=89.9).met


def test_a_missed_target_is_shown() -> None:
    """In the terminal and on the page."""
    assert "3.2 missed" in shown(report(3.2), None)
    assert "| ≤ 3 | 3.2 | **missed** |" in refreshed(PAGE, report(3.2))
    assert "1 of 2 targets are met." in shown(report(2.9), None)


def test_only_what_was_measured_is_replaced() -> None:
    """A place whose figures are missing keeps what it has."""
    written = refreshed(PAGE, report(3.2))
    assert "\nold\n" not in written
    assert "\nkept\n" in written


def test_a_part_is_measured_anew_beside_the_others() -> None:
    """New rows take the place of those of their call, or of their part; others stay in place."""
    me, seal = Row("calls", "me", "× floor", 1.4), Row("seal", "a secret", "sealed", 1.5, "µs")
    old = report(3.2).updated(Found([me, seal]))
    new = old.updated(Found([msgspec.structs.replace(LOGOUT, value=2.7)], {"calls": "Anew."}))
    found = [(row.call, row.metric, row.value) for row in new.rows]
    assert found[:2] == [("logout", "× floor", 2.7), ("me", "× floor", 1.4)]
    assert found[2:] == [("a secret", "sealed", 1.5)]
    assert new.notes == {"calls": "Anew."}


def test_what_has_changed_is_told() -> None:
    """Figure by figure, whatever it is of."""
    assert "`POST /auth/logout`: × floor: 3.2 → 2.9 (-9 %)" in shown(report(2.9), report(3.2))


def test_what_is_kept_can_be_read_again() -> None:
    """A line a row, and nothing lost."""
    kept = report(3.2).encoded()
    assert kept.count(b"\n") == 4
    assert msgspec.json.decode(kept, type=Report) == report(3.2)
