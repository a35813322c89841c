"""Sessions whose last proof of identity is long ago, without anybody waiting."""

from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import Person

from service.redis.keys import bucket
from tests.support.keys import session_prefix


def let_time_pass(server: RedisServer, person: Person, seconds: int) -> None:
    """Put into the past when the session was opened, and with that all that its record tells."""
    with server.client() as client:
        index = bucket(person.user_id).index + person.user_id
        digest = client.hget(index, bytes.fromhex(person.session_id))
        key = session_prefix(person.user_id) + digest
        record = client.get(key)
        opened = int.from_bytes(record[5:11]) - seconds * 1000
        client.set(key, record[:5] + opened.to_bytes(6) + record[11:], keepttl=True)
