"""`openshow-auth keys ...`: settings are read before anything is done; what is left is told."""

import argparse
import asyncio
from pathlib import Path

import pytest

from service.cli import key_commands
from service.errors import SettingsError, StartupError
from service.settings import Settings
from service.twofactor.resealing import Resealing
from tests.keyring.conftest import DataDir


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379/not-a-number",
        "redis+sentinel://127.0.0.1:26379",
        "rediss://127.0.0.1:6379?ssl_ca_certs=/no/such/file.pem",
    ],
)
async def test_a_wrong_redis_url_stops_rewrap_before_it_begins(
    data_dir: DataDir, tmp_path: Path, url: str
) -> None:
    """No data key is wrapped anew, no key sealed anew: the command names the setting and ends."""
    await data_dir.start()
    before = await data_dir.rows()
    settings = Settings.from_environment(
        {
            "SERVICE_DATA_DIR": str(tmp_path),
            "SERVICE_DATABASE_URL": data_dir.url,
            "SERVICE_REDIS_URL": url,
        }
    )
    rewrap = argparse.Namespace(action="rewrap")
    with pytest.raises(SettingsError, match="SERVICE_REDIS_URL"):
        await asyncio.to_thread(key_commands.run, settings, rewrap)
    assert await data_dir.rows() == before


async def test_what_rewrap_leaves_is_told_on_standard_error(
    data_dir: DataDir,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A secret that does not open, and what is in a Redis that is away."""
    await data_dir.start()

    async def one_is_broken(resealing: Resealing) -> None:
        resealing.broken += 1

    monkeypatch.setattr(Resealing, "reseal_enabled", one_is_broken)
    settings = Settings.from_environment(
        {
            "SERVICE_DATA_DIR": str(tmp_path),
            "SERVICE_DATABASE_URL": data_dir.url,
            "SERVICE_REDIS_URL": f"unix://{tmp_path}/nowhere.sock",
        }
    )
    with pytest.raises(StartupError, match="1 secrets do not open and were left as they are"):
        await asyncio.to_thread(key_commands.run, settings, argparse.Namespace(action="rewrap"))
    said = capsys.readouterr()
    assert "Data keys wrapped anew" in said.out
    assert "left" not in said.out
    assert "openshow-auth: pending enrolments are left to end within" in said.err
