"""An app pod as its users run it: an example of docs/examples, under uvicorn."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
from tools.testbed.redis_server import REPOSITORY
from tools.testbed.waiting import wait_until

from service.settings import Secret

_EXAMPLES = REPOSITORY / "docs/examples"


class PodProcess:
    """`uvicorn docs/examples/<example>.py`, guarding with what `service_url` signs."""

    def __init__(
        self, directory: Path, guard: Path, example: str, service_url: str, redis_url: Secret
    ) -> None:
        """`guard`: its wheel. Of the checkout, the pod sees only the example."""
        self._log = directory / f"{example}.log"
        self._example = example
        self._environment = os.environ | {
            "PYTHONPATH": str(guard),
            "AUTH_ISSUER": "http://127.0.0.1:8000",
            "AUTH_AUDIENCE": "openshow",
            "AUTH_JWKS_URL": f"{service_url}/.well-known/jwks.json",
            "AUTH_REDIS_URL": redis_url.reveal(),
        }
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "PodProcess":
        """Start it and wait until it answers."""
        command = ["uvicorn", "--app-dir", str(_EXAMPLES), "--port", "0", f"{self._example}:app"]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=self._log.parent,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._answers)
        return self

    def output(self) -> str:
        """All that it has logged so far."""
        return self._log.read_text(encoding="utf-8")

    def stop(self) -> None:
        """Ask it to stop, and wait. uvicorn ends by the signal once it has shut the app down."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=20)
            self.process = None

    def _answers(self) -> bool:
        assert self.process
        assert self.process.poll() is None, self.output()
        found = re.search(r"running on (http://127\.0\.0\.1:\d+)", self.output())
        if found is None:
            return False
        self.url = found[1]
        return httpx.get(f"{self.url}/health").status_code == 200
