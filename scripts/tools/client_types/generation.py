"""The document as the client sees it, turned into TypeScript by `openapi-typescript`."""

import json
import tempfile
from pathlib import Path
from typing import Any

from service import app
from service.web import openapi
from tests.support.node import install_packages, run_node
from tools.testbed.redis_server import REPOSITORY

FILE = REPOSITORY / "service/web/pages/client/openapi.d.ts"

_HEADER = "// Made by scripts/client-types from the OpenAPI document; do not edit.\n\n"


def generate() -> str:
    """Return the types as they should be now: of calls and of what they answer if they succeed."""
    cli = install_packages() / "openapi-typescript/bin/cli.js"
    with tempfile.TemporaryDirectory() as directory:
        source, made = Path(directory) / "openapi.json", Path(directory) / "openapi.d.ts"
        source.write_text(json.dumps(_document()), encoding="utf-8")
        run_node(str(cli), str(source), "--output", str(made), "--alphabetize")
        lines = made.read_text(encoding="utf-8").splitlines()
    while lines[0].startswith(("/*", " *")) or not lines[0]:
        del lines[0]
    return _HEADER + "\n".join(lines) + "\n"


def _document() -> dict[str, Any]:
    """Describe the API in cookie mode too. Errors are one type in the client, whatever the call."""
    document = openapi.describe(app._ROUTES, openapi.About(cookies=True))
    for operations in document["paths"].values():
        for operation in operations.values():
            responses: dict[str, Any] = operation["responses"]
            operation["responses"] = {s: r for s, r in responses.items() if s < "300"}
            for response in operation["responses"].values():
                response.pop("headers", None)
    return document
