"""What counts as a recent proof: by Redis' clock, of all factors that the account has."""

from collections.abc import Iterator
from datetime import timedelta

import httpx
import msgspec
import pytest
from tools.testbed.access import SERVICE
from tools.testbed.parts import PATIENTLY
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD, PATIENT, ServiceProcess, code_of

from service.authentication.identity import Identity
from service.authentication.recent import RecentAuthentication
from service.clock import moment
from service.errors import AuthenticationNotRecent, InvalidAccessToken
from service.redis.client import RedisClient
from service.sessions.record import Authentication
from tests.authentication.test_reauthentication import renewed
from tests.support.living import lend
from tests.support.looking import ON_VALKEY
from tests.support.proofs import let_time_pass
from tests.support.script_clock import ScriptClock
from tests.support.two_factor import new_holder
from tests.twofactor.pods import Pods

pytestmark = ON_VALKEY

BOTH = Authentication.PASSWORD | Authentication.TOTP
RECOVERED = Authentication.PASSWORD | Authentication.RECOVERY_CODE


@pytest.mark.parametrize(
    ("age", "second_factor", "proved", "enough"),
    [
        (0, False, Authentication.PASSWORD, True),
        (600_000, False, Authentication.PASSWORD, True),
        (600_001, False, Authentication.PASSWORD, False),
        (-60_000, False, Authentication.PASSWORD, True),
        (-60_001, False, Authentication.PASSWORD, False),
        (0, True, Authentication.PASSWORD, False),
        (0, True, BOTH, True),
        (600_000, True, BOTH, True),
        (600_001, True, BOTH, False),
        (0, True, RECOVERED, True),
        (600_001, True, RECOVERED, False),
    ],
)
async def test_what_is_recent(
    pods: Pods,
    clock: ScriptClock,
    age: int,
    second_factor: bool,
    proved: Authentication,
    enough: bool,
) -> None:
    """To the millisecond; a proof of tomorrow is none, since Redis' clock was put back."""
    ann = await pods.sign_up()
    identity = await pods.all[0].services.identities.of(ann.caller, as_stored=True)
    identity = Identity(
        msgspec.structs.replace(identity.user, two_fa_enabled=second_factor),
        msgspec.structs.replace(
            identity.session,
            authentication=proved,
            authenticated_at=moment(clock.now - age),
        ),
    )
    clock.before_reading = clock.before_changing
    recent = RecentAuthentication(clock, timedelta(seconds=600))
    if enough:
        await recent.demand(identity)
        return
    with pytest.raises(AuthenticationNotRecent) as refused:
        await recent.demand(identity)
    assert refused.value.max_age == 600


async def test_a_session_that_ends_meanwhile(pods: Pods, keys: RedisServer) -> None:
    """However recent it was."""
    ann = await pods.sign_up()
    services = pods.all[0].services
    identity = await services.identities.of(ann.caller, as_stored=True)
    with keys.client() as client:
        client.delete(*client.keys("sessions:*"))
    redis = RedisClient(keys.url, timing=PATIENTLY)
    with pytest.raises(InvalidAccessToken):
        await RecentAuthentication(redis, timedelta(seconds=600)).demand(identity)
    await redis.aclose()


@pytest.fixture(scope="module")
def shared_demanding(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """A service that asks for a recent login before an enrolment."""
    service = ServiceProcess(
        tmp_path_factory.mktemp("demanding"),
        redis_server.url_of(SERVICE),
        SERVICE_REAUTH_FOR_ENROLMENT="on",
        SERVICE_REAUTH_TTL="777",
        **PATIENT,
    )
    yield from lend("shared_demanding", service)


async def test_before_an_enrolment_where_it_is_set(
    shared_demanding: ServiceProcess, keys: RedisServer
) -> None:
    """401 as RFC 9470 spells it; what `reauthenticate` gives is enough, by a code with 2FA on."""
    async with httpx.AsyncClient(base_url=shared_demanding.url, timeout=30) as http:
        ann = await new_holder(http)
        assert (await ann.enable()).status_code == 200
        let_time_pass(keys, ann, 778)
        answer = await ann.enable()
        assert code_of(answer) == (401, "insufficient_user_authentication")
        assert answer.headers["www-authenticate"] == (
            'Bearer realm="openshow", error="insufficient_user_authentication", max_age="777"'
        )
        assert (await ann.me()).status_code == 200
        ann = await renewed(ann, password=PASSWORD)
        await ann.enrol()
        assert code_of(await ann.enable()) == (401, "insufficient_user_authentication")
        proved = await renewed(ann, code=ann.phone.code(1))
        assert code_of(await proved.enable()) == (400, "already_enabled")


async def test_it_is_not_asked_for_otherwise(http: httpx.AsyncClient, keys: RedisServer) -> None:
    """Not unless it is set: that call's row is fixed."""
    ann = await new_holder(http)
    let_time_pass(keys, ann, 100_000)
    assert (await ann.enable()).status_code == 200
