"""SERVICE_TOTP_AHEAD=off: the code of the next 30 seconds opens nothing."""

import time
from pathlib import Path

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PATIENT, ServiceProcess, code_of
from tools.testbed.waiting import wait_until

from tests.support.looking import ON_VALKEY
from tests.support.two_factor import let_steps_pass, new_holder

pytestmark = pytest.mark.one_server("which step a code belongs to is decided before Redis is asked")


def ahead_of_time() -> int:
    """1, at a moment from which on it stays so for long enough to ask."""
    wait_until(lambda: time.time() % 30 < 22)
    return 1


@ON_VALKEY
async def test_no_door_takes_a_step_ahead(keys: RedisServer, tmp_path: Path) -> None:
    """Enrolment, login, new recovery codes, proof anew, turning it off: a wrong code at each."""
    service = ServiceProcess(tmp_path, keys.url, SERVICE_TOTP_AHEAD="off", **PATIENT).start()
    try:
        async with httpx.AsyncClient(base_url=service.url, timeout=30) as http:
            ann = await new_holder(http)
            await ann.begin()
            refused = await ann.verify(ann.phone.code(ahead_of_time()))
            assert code_of(refused) == (400, "invalid_code")
            assert (await ann.verify()).status_code == 200
            let_steps_pass(keys)
            challenge = await ann.challenge()
            refused = await ann.answer(challenge, ann.phone.code(ahead_of_time()))
            assert code_of(refused) == (401, "invalid_code")
            for door in (ann.renew, ann.disable):
                assert code_of(await door(ann.phone.code(ahead_of_time()))) == (400, "invalid_code")
            body = {
                "refreshToken": ann.tokens["refreshToken"],
                "code": ann.phone.code(ahead_of_time()),
            }
            refused = await http.post("/auth/reauthenticate", json=body, headers=ann.bearer)
            assert code_of(refused) == (400, "invalid_code")
            assert (await ann.answer(challenge, ann.phone.code())).status_code == 200
    finally:
        assert service.stop() == 0
