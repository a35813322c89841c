"""`openshow-auth keys ...`: settings are read before anything is done."""

import argparse
import asyncio
from pathlib import Path

import pytest

from service.cli import key_commands
from service.errors import SettingsError
from service.settings import Settings
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
