"""Whose session it is: as current as both stores tell."""

from tests.twofactor.pods import Pods


async def test_a_new_connection_to_redis_has_rows_read_again(pods: Pods) -> None:
    """The version by which a row in memory is good may be an older one on that server."""
    somebody, services = await pods.sign_up(), pods.all[0].services
    pods.store.ask("UPDATE users SET email = 'eve@example.com'")
    await services.sessions._redis.leave("for another")
    identity = await services.identities.of(somebody.caller)
    assert identity.user.email == "eve@example.com"
