"""A guard that has read entries rests before it reads on: longer while they come all the time."""

from service.guard.reading_pace import ReadingPace


def test_rests() -> None:
    """Two ms at the least; doubled while entries are there at once; no longer than wishes allow."""
    pace = ReadingPace()
    assert [pace.rest_after(waited) for waited in (5.0, 0.0, 0.0)] == [0.002] * 3
    pace.told(0.005)
    rests = [pace.rest_after(0.0) for _ in range(5)]
    assert rests == [0.004, 0.008, 0.01, 0.01, 0.01]
    assert pace.rest_after(0.011) == 0.002
    pace.told(1000)
    assert max(pace.rest_after(0.0) for _ in range(50)) == 0.02
    pace.told(0)
    assert pace.rest_after(0.0) == 0.002
