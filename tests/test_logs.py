"""Log lines: JSON whoever writes them, and no more from libraries than they should say."""

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from service import logs
from tests.support.log_state import configured
from tests.support.redis_server import RedisServer
from tests.support.service_process import PASSWORD, ServiceProcess, sign_up


def lines(capture: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capture.readouterr().out.splitlines()]


def test_every_line_is_json(capsysbinary: Any) -> None:
    """Ours, the libraries', their tracebacks and Python's warnings: an object a line."""
    with configured("info"), warnings.catch_warnings():
        warnings.simplefilter("always")
        structlog.get_logger().info("ours", count=1, raw=b"\xff", other=Path("x"))
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            logging.getLogger("library").exception("theirs %s", "in two\nlines")
        logging.getLogger("library").warning("bad %d", "argument")
        warnings.warn("careful", UserWarning, stacklevel=1)
    ours, theirs, warning = lines(capsysbinary)
    assert (ours["event"], ours["level"], ours["count"]) == ("ours", "info", 1)
    assert (theirs["logger"], theirs["level"]) == ("library", "error")
    assert "ZeroDivisionError" in theirs["exception"]
    assert "careful" in warning["event"]
    assert all(line["time"].endswith("Z") for line in (ours, theirs, warning))


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_libraries_never_say_more_than_info(level: str, capsysbinary: Any) -> None:
    """At debug level some of them print what travels."""
    with configured(level):
        says_no_more(level)
    assert lines(capsysbinary) == []


def says_no_more(level: str) -> None:
    for name in ("aiosqlite", "sqlalchemy.engine.Engine", "asyncio", "uvicorn.error"):
        logger = logging.getLogger(name)
        assert not logger.isEnabledFor(logging.DEBUG)
    chatty = logging.getLogger("chatty")
    chatty.setLevel(logging.DEBUG)  # as a library may do by itself
    chatty.debug("a secret")
    assert logs.shows_requests() == (level in ("debug", "info"))


async def test_no_secret_at_debug_level(keys: RedisServer, tmp_path: Path) -> None:
    """A person's whole way through the service leaves no token, password or address in the log."""
    service = ServiceProcess(tmp_path, keys.url, SERVICE_LOG_LEVEL="debug").start()
    async with httpx.AsyncClient(base_url=service.url) as client:
        person = await sign_up(client)
        other = await person.log_in()
        answers = [await other.refresh(), await other.me(), await other.log_out()]
        assert [answer.status_code for answer in answers] == [200, 200, 204]
    assert service.stop() == 0
    tokens = [
        str(one.tokens[kind]) for one in (person, other) for kind in ("accessToken", "refreshToken")
    ]
    # Only log lines: the greeting beside them has an example with a password.
    log = "\n".join(line for line in service.output().splitlines() if line.startswith("{"))
    assert log.count('"event":"request"') > 5
    for secret in (PASSWORD, person.email, *tokens):
        assert secret not in log
