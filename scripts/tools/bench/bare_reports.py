"""The floor of logouts that wait: tasks wait for an entry, and write what guards write."""

import asyncio
import time

from service.guard.connection import Connection, packed
from service.redis.keys import GUARD_LIFE, GUARDS_BUCKET, numbered
from service.redis.url import RedisUrl
from tools.bench.harness import Place, latency_rows
from tools.bench.results import Row

_PATIENCE = 120.0


async def bare_reports(times: int, count: int, here: Place) -> list[Row]:
    """Measure reports of so many tasks: from an entry until all can be read."""
    names = numbered(GUARDS_BUCKET)
    url = RedisUrl.parse(here.redis.url.reveal())
    asked, report = names.asked + b":floor", b"\1" * 900
    address = url.hosts[0] if url.hosts else None
    wires = [await Connection.to(url, address, _PATIENCE) for _ in range(count)]
    written = asyncio.Semaphore(0)

    async def task(number: int, wire: Connection) -> None:
        at, key = b"0-0", names.guard + b"floor:%d" % number
        while True:
            read = packed(("XREAD", "BLOCK", 60_000, "STREAMS", asked, at))
            if (reply := await wire.ask_packed(read, patience=_PATIENCE)) is None:
                continue
            at = reply[0][1][-1][0]
            await wire.ask("SET", key, report, "PX", GUARD_LIFE, patience=_PATIENCE)
            written.release()

    tasks = [asyncio.create_task(task(number, wire)) for number, wire in enumerate(wires)]
    taken, cpu, redis = list[float](), time.thread_time(), here.redis.costs().main_thread
    for _ in range(times):
        began = time.perf_counter()
        await asyncio.to_thread(here.redis.client.xadd, asked, {"x": 1}, maxlen=1)
        for _ in range(count):
            await written.acquire()
        taken.append(time.perf_counter() - began)
    cpu, redis = time.thread_time() - cpu, here.redis.costs().main_thread - redis
    for each in tasks:
        each.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for wire in wires:
        await wire.close()
    here.redis.client.delete(asked)
    like = Row("confirmations", "a bare report of each, the floor", "", 0, by="guards", at=count)
    return [
        *latency_rows(like, taken, "p50", "p99"),
        like.figure("CPU of a guard", round(cpu / times / count * 1e6), "µs"),
        like.figure("of Redis", round(redis / times * 1e6), "µs"),
    ]
