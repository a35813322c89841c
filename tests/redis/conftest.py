from functools import partial

import pytest
from tools.testbed.parts import PATIENTLY

from service.redis import requirements
from service.redis.client import RedisClient


@pytest.fixture(autouse=True)
def patient_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `check_server` wait for servers that a busy machine keeps waiting: it lets pass whoever
    does not answer in time."""
    monkeypatch.setattr(requirements, "RedisClient", partial(RedisClient, timing=PATIENTLY))
