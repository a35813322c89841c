"""A floor of what a store that is busy lets wait: GETs past the service, beside open loops."""

import threading
import time
from collections.abc import Sequence

import msgspec
from redis import Redis

from service.settings import Secret
from tools.http_load.connection import Endpoint
from tools.http_load.loops import OpenLoop, Outcome, open_and_retrying

BARE_GET = "a bare GET of Redis, the floor"

_PERIOD = 0.02  # seconds: as often as each of the calls beside it


def open_beside_gets(endpoint: Endpoint, loops: Sequence[OpenLoop], url: Secret) -> Outcome:
    """Send open loops, and beside them GETs of a key that is not there, one each period.

    Seconds of each GET, from when it was due, stand among the latencies as `BARE_GET`.
    """
    latencies: list[float] = []
    over = threading.Event()
    thread = threading.Thread(target=_send, args=(Redis.from_url(url.reveal()), latencies, over))
    thread.start()
    try:
        outcome = open_and_retrying(endpoint, loops)
    finally:
        over.set()
        thread.join()
    return msgspec.structs.replace(outcome, latencies=outcome.latencies | {BARE_GET: latencies})


def _send(client: Redis, latencies: list[float], over: threading.Event) -> None:
    client.get("floor")  # connects
    due = time.perf_counter()
    while not over.is_set():
        due += _PERIOD
        time.sleep(max(0.0, due - time.perf_counter()))
        client.get("floor")
        latencies.append(time.perf_counter() - due)
    client.close()
