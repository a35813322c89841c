"""A disabled account says so to whoever has its password, before any second step."""

import pytest
from tools.testbed.parts import CLIENT
from tools.testbed.redis_server import RedisServer

from service.errors import AccountDisabled, InvalidCredentials
from service.redis.keys import bucket
from tests.twofactor.pods import Pods, Somebody


def disable(pods: Pods, somebody: Somebody) -> None:
    pods.store.ask("UPDATE users SET disabled_at = 1 WHERE id = $1", somebody.id)


@pytest.mark.parametrize("second_factor", [False, True])
async def test_the_right_password(pods: Pods, keys: RedisServer, second_factor: bool) -> None:
    """No session and no challenge are made at any pod; a wrong password is a wrong password."""
    ann = await (pods.enrolled() if second_factor else pods.sign_up())
    disable(pods, ann)
    names = bucket(ann.id)
    with keys.client() as client:
        before = client.hkeys(names.index + ann.id)
        for pod in pods:
            with pytest.raises(AccountDisabled):
                await pod.password(ann)
            with pytest.raises(InvalidCredentials):
                await pod.services.accounts.log_in(ann.user.email, "not the password", CLIENT)
        assert client.hkeys(names.index + ann.id) == before
        assert [*client.scan_iter(match="challenge:*")] == []


async def test_it_is_no_wrong_answer(pods: Pods) -> None:
    """However often it is told, nothing counts against the account: it goes on once enabled."""
    ann = await pods.sign_up()
    disable(pods, ann)
    for _ in range(12):
        with pytest.raises(AccountDisabled):
            await pods.all[0].password(ann)
    pods.store.ask("UPDATE users SET disabled_at = NULL WHERE id = $1", ann.id)
    assert (await pods.all[1].password(ann)).user.id == ann.id
