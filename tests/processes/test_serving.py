from pathlib import Path

import pytest

from service.serving.start import greeting
from service.settings import Settings


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8001"),
        ("localhost", "http://localhost:8001"),
        ("0.0.0.0", "http://127.0.0.1:8001"),
        ("::", "http://[::1]:8001"),
        ("fd00::7", "http://[fd00::7]:8001"),
    ],
)
def test_greets_with_an_address_that_can_be_opened(host: str, url: str) -> None:
    """The printed URL works in a shell and a browser, whatever address is listened on."""
    text = greeting(Settings(host=host, data_dir=Path("var")), 8001)
    assert f"serves on {url} " in text
    assert f"curl {url}/auth/signup " in text
