from pathlib import Path

import pytest

from service.errors import StartupError
from service.serving.listeners import bind
from service.serving.start import greeting
from service.settings import Secret, Settings


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


@pytest.mark.parametrize(
    ("host", "address", "url"),
    [
        ("*", "0.0.0.0", "http://127.0.0.1:8001"),
        ("0", "0.0.0.0", "http://127.0.0.1:8001"),
        ("all-interfaces.example", "::", "http://[::1]:8001"),
        ("auth.example", "192.0.2.7", "http://auth.example:8001"),
        ("fe80::1%eth0", "fe80::1%eth0", "http://[fe80::1%25eth0]:8001"),
    ],
)
def test_a_name_for_all_interfaces_is_none_to_open(host: str, address: str, url: str) -> None:
    """What is bound counts, however it was spelt: `http://*:8001` opens nowhere."""
    assert f"serves on {url} " in greeting(Settings(host=host), 8001, address)


REDIS, SQL = Secret("redis://127.0.0.1"), Secret("postgresql://127.0.0.1/auth")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (Settings(), " with its data in "),
        (Settings(redis_url=REDIS), " with its accounts and key file in "),
        (Settings(redis_url=REDIS, database_url=SQL), " with its key file in "),
        (Settings(database_url=SQL, kms_local_key_file=Path("k")), " with its sessions in "),
        (Settings(redis_url=REDIS, database_url=SQL, kms_local_key_file=Path("k")), ""),
        (Settings(redis_url=REDIS, database_url=SQL, kms="aws"), ""),
    ],
)
def test_the_greeting_names_what_lies_in_the_data_directory(given: Settings, says: str) -> None:
    """And no directory that is not used."""
    first = greeting(given, 8001).splitlines()[0]
    assert first == f"OpenShow Auth serves on http://127.0.0.1:8001{says}" + (
        f"{given.data_dir.resolve()}; Ctrl-C stops it. Try:" if says else "; Ctrl-C stops it. Try:"
    )


@pytest.mark.parametrize("host", ["auth..example", "a" * 64, ".", "no host", "nosuch.invalid"])
def test_a_host_that_cannot_be_is_one_line(host: str) -> None:
    """Proves that whatever is wrong with SERVICE_HOST is told by its name, without a traceback."""
    with pytest.raises(StartupError, match=r"cannot serve on .*; set SERVICE_HOST") as refused:
        bind(host, 0)
    assert "\n" not in str(refused.value)
