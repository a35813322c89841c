"""A process whose clock is wrong by weeks signs nothing, and spends nothing."""

from datetime import timedelta

import pytest
from tools.testbed.parts import CLIENT, Parts

from service.clock import system_clock
from service.errors import ClockWrong

pytestmark = pytest.mark.one_server("the clock is the process's own")


@pytest.mark.parametrize("days", [40, -40])
async def test_no_tokens(parts: Parts, monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    """Neither for a login nor for a refresh nor for a handoff; the refresh token stays good."""
    pair = await parts.open()
    user_id = parts.access_tokens.verify(pair.access_token).user_id

    def wrong() -> None:
        ahead = timedelta(days=days)
        monkeypatch.setattr(parts.access_tokens, "_clock", lambda: system_clock() + ahead)

    wrong()
    with pytest.raises(ClockWrong):
        await parts.open(user_id)
    with pytest.raises(ClockWrong):
        await parts.sessions.refresh(pair.refresh_token, CLIENT)
    monkeypatch.undo()
    assert await parts.sessions.count(user_id) == 1
    fresh = await parts.sessions.refresh(pair.refresh_token, CLIENT)
    wrong()
    with pytest.raises(ClockWrong):
        await parts.sessions.refresh(pair.refresh_token, CLIENT)
    monkeypatch.undo()
    assert (await parts.sessions.refresh(fresh.refresh_token, CLIENT)).expires_in == 900
