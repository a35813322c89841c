"""What the scripts that only read answer: the records, their ends, and the version, as stored."""

from tools.testbed.redis_server import RedisServer

from service.sessions import scripts
from tests.sessions.scripted import HOUR, INDEX, NAMES, Scripted, key, record, sid
from tests.support.looking import ON_VALKEY

pytestmark = ON_VALKEY


async def test_one_and_all(scripted: Scripted, keys: RedisServer) -> None:
    """Each with its own end; none of one that has ended or expired, nor to one that has."""
    now, link = scripted.clock.now, scripted.clock
    for number in (1, 2, 3):
        await scripted.open(number, read="7", idle_life=HOUR + number)
    with keys.client() as client:
        client.delete(key(3))
    whole = record(0, now, 0, row=7)

    async def listed(number: int) -> object:
        return await scripts.list_all(link, index=INDEX, tag=NAMES.tag, caller=sid(number))

    async def read(number: int) -> object:
        return await scripts.read(link, index=INDEX, tag=NAMES.tag, session_id=sid(number))

    rows = await listed(1)
    assert isinstance(rows, list)
    assert sorted(rows) == [[sid(number), whole, now + HOUR + number] for number in (1, 2)]
    assert [await read(number) for number in (1, 2)] == [
        [whole, now + HOUR + number, b"7"] for number in (1, 2)
    ]
    for number in (3, 4):
        assert await listed(number) is None
        assert await read(number) is None
    assert await scripts.count(link, index=INDEX, tag=NAMES.tag) == 2
