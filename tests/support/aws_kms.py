"""AWS KMS: moto's server, and in front of it a double that refuses what moto lets through."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import httpx
from tools.testbed.waiting import wait_until

from tests.support.silent_peer import dead_address

REGION = "eu-central-1"


class AwsKms:
    """moto in a process of its own. `address` is the double's, through which all calls go."""

    def __init__(self, directory: Path) -> None:
        self._log = directory / "moto.log"
        self.moto = dead_address()  # free a moment ago
        self.refusal = ""
        """The code of the error with which the double refuses everything, unless it is empty."""
        self.asked: list[dict[str, Any]] = []
        """The body of each call."""

    def start(self) -> "AwsKms":
        os.environ |= {
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-p", self.moto.rpartition(":")[2]],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._double = ThreadingHTTPServer(("127.0.0.1", 0), _double(self))
        self.address = f"http://127.0.0.1:{self._double.server_port}"
        threading.Thread(target=self._double.serve_forever, daemon=True).start()
        wait_until(self._answers)
        self.client = boto3.client("kms", endpoint_url=self.moto)
        return self

    def stop(self) -> None:
        self._double.shutdown()
        self._double.server_close()
        self._process.terminate()
        self._process.wait(10)

    def make_key(self, alias: str) -> str:
        """The ARN of a new key with this alias."""
        arn: str = self.client.create_key()["KeyMetadata"]["Arn"]
        self.client.create_alias(AliasName=alias, TargetKeyId=arn)
        return arn

    def _answers(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            return httpx.get(f"{self.moto}/moto-api/data.json").status_code == 200
        except httpx.TransportError:
            return False


def _double(kms: AwsKms) -> type[BaseHTTPRequestHandler]:
    class Double(BaseHTTPRequestHandler):
        """Passes calls on to moto. A key that does not fit is told as AWS tells it."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kms.asked.append(json.loads(body))
            if kms.refusal:
                self._answer(400, json.dumps({"__type": kms.refusal, "message": ""}).encode())
                return
            passed = {name: self.headers[name] for name in ("Authorization", "X-Amz-Target")}
            answer = httpx.post(kms.moto, content=body, headers=passed)
            content = answer.content.replace(b"AccessDeniedException", b"IncorrectKeyException")
            self._answer(answer.status_code, content)

        def log_message(self, *_: Any) -> None:
            pass

        def _answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Double
