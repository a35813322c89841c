"""A process whose clock is wrong by a minute or by weeks signs nothing, and spends nothing."""

from datetime import timedelta

import pytest
from tools.testbed.parts import CLIENT, Parts

from service.clock import system_clock
from service.errors import ClockWrong

pytestmark = pytest.mark.one_server("the clock is the process's own")


@pytest.mark.parametrize("seconds", [61, -61, 40 * 86_400, -40 * 86_400])
async def test_no_tokens(parts: Parts, monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    """Neither for a login nor for a refresh nor for a handoff; the refresh token stays good."""
    pair = await parts.open()
    user_id = parts.access_tokens.verify(pair.access_token).user_id

    def wrong() -> None:
        ahead = timedelta(seconds=seconds)
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


@pytest.mark.parametrize("seconds", [57, -59])
async def test_less_than_a_minute(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    """Serves: who is ready, by its clock, signs."""
    ahead = timedelta(seconds=seconds)
    monkeypatch.setattr(parts.access_tokens, "_clock", lambda: system_clock() + ahead)
    pair = await parts.open()
    fresh = await parts.sessions.refresh(pair.refresh_token, CLIENT)
    assert (await parts.sessions.refresh(pair.refresh_token, CLIENT)).expires_in == 900
    assert fresh.expires_in == 900
