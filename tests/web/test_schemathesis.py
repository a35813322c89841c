"""The OpenAPI document against the service, by cases that schemathesis makes from it."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import httpx
from tools.testbed.redis_server import REPOSITORY
from tools.testbed.service_process import ServiceProcess, sign_up

# What a session or a link must be for is no matter of form: 400 there says so by its code.
BY_MEANING = "positive_data_acceptance"
LEFT_OUT = (
    "^/auth/(logout/all|account/delete|sessions/"  # end the session of all other cases
    "|email/change$|email/verify/request|password/reset/request)"  # 404 without mail
)


async def test_nothing_is_found(
    service: ServiceProcess, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    """What the document allows is not refused for its form, and what it does not is; no 5xx.

    All checks of schemathesis, on some hundred cases, the same in each run.
    """
    person = await sign_up(http)
    done = await asyncio.to_thread(
        subprocess.run,
        [
            str(Path(sys.executable).parent / "schemathesis"),
            *("run", f"{service.url}/schema/openapi.json"),
            *("--phases", "examples,coverage,fuzzing"),
            *("--seed", "1", "--generation-deterministic", "--max-examples", "5", "--no-shrink"),
            *("--checks", "all", "--exclude-checks", BY_MEANING),
            *("--exclude-path-regex", LEFT_OUT, "--no-color", "--warnings", "off"),
            *("-H", f"Authorization: {person.bearer['Authorization']}"),
        ],
        cwd=tmp_path,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": "tests.web.schemathesis_hooks",
            "PYTHONPATH": str(REPOSITORY),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stdout
