"""A target that is missed must be seen as missed."""

import msgspec
from tools.bench.figures import Row, Sample
from tools.bench.page import refreshed
from tools.bench.report import Report
from tools.bench.targets import targets
from tools.bench.terminal import shown

SAMPLE = Sample(cpu=250, per_second=4000, p50=8, p99=12, redis_cpu=20.5, round_trips=1)
LOGOUT = Row("logout", "POST /auth/logout", 3.2, 3.0, 3.4, SAMPLE)
ABOUT = ("2026-11-22T20:00:00+00:00", "a machine", "software", "Valkey 9.1.2", 32, 100, 5)
PAGE = "<!-- figures: targets -->\nold\n<!-- end -->\n<!-- figures: storm -->\nkept\n<!-- end -->"


def report(ratio: float) -> Report:
    return Report(*ABOUT, floor=SAMPLE, rows=[msgspec.structs.replace(LOGOUT, ratio=ratio)])


def test_missed_and_met() -> None:
    """At the limit it is met; above, it is not."""
    assert [target.met for target in targets(report(3.0))] == [True, False, True]
    assert [target.met for target in targets(report(3.01))] == [False, False, True]


def test_a_missed_target_is_shown() -> None:
    """In the terminal and on the page."""
    assert "3.20 missed" in shown(report(3.2), None)
    assert "| 3.2 × floor | **missed** |" in refreshed(PAGE, report(3.2))
    assert "missed" not in shown(report(2.9), None).replace("20.5 µs  missed", "")


def test_only_what_was_measured_is_replaced() -> None:
    """A place whose figures are missing keeps what it has."""
    written = refreshed(PAGE, report(3.2))
    assert "\nold\n" not in written
    assert "\nkept\n" in written


def test_a_part_is_measured_anew_beside_the_others() -> None:
    """New rows take the place of those of their name; other rows and figures stay."""
    me = msgspec.structs.replace(LOGOUT, name="me", title="GET /auth/me")
    old = report(3.2).updated({"rows": [LOGOUT, me]})
    new = old.updated({"rows": [msgspec.structs.replace(LOGOUT, ratio=2.7)]})
    assert [(row.name, row.ratio) for row in new.rows] == [("logout", 2.7), ("me", 3.2)]
    assert new.floor == old.floor
