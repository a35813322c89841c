"""Three Sentinels on loopback that watch a primary and two replicas."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from service.embedded.files import find_binary
from service.settings import Secret
from tools.testbed.access import Addressed
from tools.testbed.ports import free_port
from tools.testbed.redis_server import NetworkServer, RedisServer
from tools.testbed.waiting import wait_until

NAME = "sessions"


class Sentinel(RedisServer):
    """One Sentinel. It keeps what it has learned in its own configuration file."""

    def __init__(self, directory: Path, primary: NetworkServer, down_after: int) -> None:
        directory.mkdir(exist_ok=True)
        self.port = free_port()
        configuration = directory / "sentinel.conf"
        configuration.write_text(
            f"""\
            port {self.port}
            bind 127.0.0.1
            sentinel monitor {NAME} 127.0.0.1 {primary.port} 2
            sentinel down-after-milliseconds {NAME} {down_after}
            sentinel failover-timeout {NAME} 3000
            """
        )
        super().__init__(find_binary(), directory, "--sentinel", configuration=configuration)
        self.url = Secret(f"redis://127.0.0.1:{self.port}")

    def look_round(self, *, every: float) -> None:
        """Set how often, in seconds, it asks servers for their role, and tells others of itself.

        Usually ten and two; a server that takes itself for the primary is put right after eight. So
        tests leave it at that: only setting up is faster.
        """
        with self.client() as client:
            # Often enough that one late answer is not yet silence.
            client.execute_command("SENTINEL", "DEBUG", "PING-PERIOD", 500)
            # On a busy machine it takes its own delays for a broken clock, and then sits still.
            client.execute_command("SENTINEL", "DEBUG", "TILT-PERIOD", 1000)
            for period, usual in (("INFO-PERIOD", 10), ("PUBLISH-PERIOD", 2)):
                milliseconds = round(min(every, usual) * 1000)
                client.execute_command("SENTINEL", "DEBUG", period, milliseconds)

    def primary_port(self) -> int:
        """Ask where the primary is."""
        with self.client() as client:
            return int(client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)[1])

    def knows(self) -> tuple[int, int]:
        """Count the replicas and the other Sentinels that it has found."""
        with self.client() as client:
            reply = client.execute_command("SENTINEL", "MASTER", NAME)
        fields = reply if isinstance(reply, dict) else dict(zip(*[iter(reply)] * 2, strict=True))
        found = {_text(name): _text(value) for name, value in fields.items()}
        return int(found["num-slaves"]), int(found["num-other-sentinels"])


class SentinelTrio(Addressed):
    """The servers and their Sentinels. `url` names the Sentinels, not the servers."""

    def __init__(self, directory: Path, *, down_after: int = 1500) -> None:
        """`down_after` is in milliseconds: a server that is silent for longer is down."""
        self.servers = [
            NetworkServer(
                find_binary(), directory / f"server-{number}", "--repl-diskless-sync-delay", "0"
            )
            for number in range(3)
        ]
        self.sentinels = [
            Sentinel(directory / f"sentinel-{number}", self.servers[0], down_after)
            for number in range(3)
        ]
        addresses = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        self.url = Secret(f"redis+sentinel://{addresses}/{NAME}")

    def start(self) -> "SentinelTrio":
        """Start all and wait until the replicas follow and the Sentinels know each other."""
        primary, *replicas = [server.start() for server in self.servers]
        for replica in replicas:
            with replica.client() as client:
                client.replicaof("127.0.0.1", primary.port)
        wait_until(self._replicas_follow)
        for sentinel in self.sentinels:
            sentinel.start()
        with self._hurrying():
            wait_until(lambda: all(sentinel.knows() == (2, 2) for sentinel in self.sentinels))
        return self

    def stop(self) -> None:
        for server in (*self.sentinels, *self.servers):
            server.stop()

    def client(self) -> "redis.Redis":
        """Make a plain client of the present primary, for looking from outside."""
        return self.primary().client()

    def primary(self) -> NetworkServer:
        """Find the one that the living Sentinels name."""
        sentinel = next(sentinel for sentinel in self.sentinels if sentinel.answers)
        return self._with_port(sentinel.primary_port())

    def replicas(self) -> list[NetworkServer]:
        """Find all but the primary."""
        primary = self.primary()
        return [server for server in self.servers if server is not primary]

    def fail_over(self, *options: str) -> NetworkServer:
        """Have the Sentinels make another server primary though this one is well. The new one.

        With `COORDINATED` (Valkey 9) the old one takes no writes meanwhile, and follows. Without,
        both take writes for about two seconds, and what the old one takes then is lost.

        Raises:
            redis.ResponseError: they refuse, as while they are not done with the one before.
        """
        before = self.primary()
        with self.sentinels[0].client() as client:
            client.execute_command("SENTINEL", "FAILOVER", NAME, *options)
        return self.next_primary(before)

    def fail_over_once_ready(self, *options: str) -> None:
        """Do so once they are done with the one before, and hear from replicas again."""

        def is_done() -> bool:
            try:
                self.fail_over(*options)
            except redis.ResponseError as refusal:
                if str(refusal).startswith(("INPROG", "NOGOODSLAVE")):
                    return False
                raise
            return True

        wait_until(is_done)

    def next_primary(self, before: NetworkServer) -> NetworkServer:
        """Wait until all living Sentinels name another primary than `before`. That one."""
        living = [sentinel for sentinel in self.sentinels if sentinel.answers]

        def changed() -> bool:
            ports = {sentinel.primary_port() for sentinel in living}
            return len(ports) == 1 and ports != {before.port}

        wait_until(changed)
        return self.primary()

    def heal(self) -> None:
        """Have all run again, one as the primary and two that follow it, whatever a test did."""
        for server in (*self.servers, *self.sentinels):
            server.heal()
        with self._hurrying():
            wait_until(lambda: len({sentinel.primary_port() for sentinel in self.sentinels}) == 1)
            wait_until(self._replicas_follow, seconds=40)

    @contextmanager
    def _hurrying(self) -> Iterator[None]:
        for sentinel in self.sentinels:
            sentinel.look_round(every=0.2)
        yield
        for sentinel in self.sentinels:
            sentinel.look_round(every=10)

    def _replicas_follow(self) -> bool:
        """Whether one server is a primary with two replicas that have caught up."""
        primaries = [server for server in self.servers if server.role() == "master"]
        if len(primaries) != 1:
            return False
        with primaries[0].client() as client:
            replicas = client.info("replication")
        states = [replicas.get(f"slave{number}", {}).get("state") for number in range(2)]
        return states == ["online", "online"]

    def _with_port(self, port: int) -> NetworkServer:
        return next(server for server in self.servers if server.port == port)


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
