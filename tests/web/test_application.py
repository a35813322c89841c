"""What the app loads when it is put together, and what not."""

import subprocess
import sys

import pytest
from litestar import Litestar

from service.serving import imports
from service.web.application import Application


def test_nothing_is_loaded_for_other_libraries() -> None:
    """Pydantic and attrs are installed beside the tests; a start need not load them."""
    assert _for_others(Application([], openapi_config=None, logging_config=None)) == set()
    assert _for_others(Litestar([], openapi_config=None, logging_config=None))


_LATER = (
    "cryptography", "litestar", "prometheus_client", "redis", "sqlalchemy", "structlog", "uvicorn",
)  # fmt: skip
"""What commands need, and no command line."""

_OFF = (
    "asyncpg", "sqlalchemy.dialects.postgresql", "alembic", "boto3", "botocore", "hvac", "pkcs11",
    "httpx", "rich", "zxcvbn", "opentelemetry.exporter", "pydantic", "sqlalchemy.orm",
    "cryptography.x509.name", "redis.client", "redis.cluster", "click", "yaml.reader",
    "opentelemetry.sdk.metrics", "twisted",
)  # fmt: skip
"""What a service on SQLite with a local key file does without, and so does its start."""


def test_a_command_line_is_read_without_what_its_command_needs() -> None:
    """As `begin_imports` can leave nothing out of what is loaded already."""
    program = (
        "import sys; from service.cli.program import _parser; _parser();"
        f" print([name for name in {_LATER} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_what_is_off_is_not_loaded() -> None:
    """All that `serve` imports, and the app as it is put together; with its common passwords."""
    program = (
        "import sys; from service.cli.program import _parser; _parser().parse_args(['serve']);"
        " from service.serving.imports import begin_imports; begin_imports();"
        " import service.database.migration, service.serving.start;"
        " from service.app import create_app; from service.settings import Settings;"
        " from service.serving.server import configuration;"
        " configuration(create_app(Settings()), Settings()).load();"
        " from service.composition.shared import create_password_policy;"
        " create_password_policy(Settings()).check('long enough for anybody');"
        f" print([name for name in {_OFF} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_library_without_a_module_that_loads_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a later version of one may be: a start goes on, and what was hidden can be imported."""
    monkeypatch.setattr(
        imports, "_WITHOUT", {"json.none": ("this",), "redis.none": ("antigravity",)}
    )
    monkeypatch.setattr(imports, "_PUT_OFF", {})
    imports.begin_imports()
    assert not {"this", "antigravity"} & sys.modules.keys()


def _for_others(app: Litestar) -> set[str]:
    modules = {type(plugin).__module__ for plugin in app.plugins}
    others = "litestar.plugins.pydantic", "litestar.plugins.attrs"
    return {name for name in modules if name.startswith(others)}
