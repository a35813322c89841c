"""The floors: Litestar handlers that decode the body of a logout, and then do next to nothing.

They stand for what any service on this framework and server pays: `/` does nothing at all, and
`/evalsha` has Redis run an empty script, with redis-py's usual client.

`FLOOR_REDIS_URL=<url> python -m tools.bench.floor <port>`
"""

import os
import sys

import uvicorn
from litestar import Litestar, post
from litestar.datastructures import State
from redis.asyncio import Redis

from service.serving.server import configuration
from service.settings import Settings
from service.web.routes.sessions import LogoutBody
from tools.bench.processes import EMPTY_SCRIPT, FLOOR_REDIS_URL, HOST


@post("/", status_code=204)
async def floor(data: LogoutBody) -> None:
    """Decode and forget."""


@post("/evalsha", status_code=204)
async def evalsha(data: LogoutBody, state: State) -> None:
    """Decode, forget, and have nothing done in Redis."""
    await state.redis.evalsha(state.digest, 0)


async def _connect(app: Litestar) -> None:
    app.state.redis = Redis.from_url(os.environ[FLOOR_REDIS_URL])
    app.state.digest = await app.state.redis.script_load(EMPTY_SCRIPT)


app = Litestar([floor, evalsha], on_startup=[_connect], openapi_config=None, logging_config=None)

if __name__ == "__main__":
    config = configuration(app, Settings())
    config.host, config.port = HOST, int(sys.argv[1])
    config.http = "httptools"  # uvicorn's own: what we add to it is measured
    print(f"running on http://{HOST}:{config.port}", flush=True)
    uvicorn.Server(config).run()
