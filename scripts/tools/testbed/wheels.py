"""The two distributions as `scripts/build` makes them."""

import subprocess
from pathlib import Path

from tools.testbed.redis_server import REPOSITORY


def build_wheels(directory: Path, *options: str) -> None:
    """Build `openshow-auth` and `openshow-guard` into `directory`."""
    command = [str(REPOSITORY / "scripts/build"), *options, str(directory)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def wheel_of(distribution: str, directory: Path) -> Path:
    """Find the one wheel of a distribution there. On `sys.path` it can be imported as it is."""
    [wheel] = directory.glob(f"{distribution.replace('-', '_')}-*.whl")
    return wheel
