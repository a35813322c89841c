"""Processes whose clock is wrong: Debian's libfaketime."""

import os
from pathlib import Path

import pytest


def shifted(seconds: int) -> dict[str, str]:
    """What to put into the environment of a process, so that its clock is ahead by so much.

    Its monotonic clock stays right, as it does on a machine whose time of day is wrong. Without
    libfaketime the test is skipped; with CI=true it fails.
    """
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found and os.environ.get("CI"):
        pytest.fail("libfaketime is missing: install faketime")
    if not found:
        pytest.skip("libfaketime is missing: install faketime")
    return {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME": f"{seconds:+d}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
