"""The floor: a Litestar app that decodes the body of a logout and does nothing.

It stands for what any service on this framework and server pays. `python -m benchmark.floor <port>`
"""

import sys

import uvicorn
from litestar import Litestar, post

from benchmark.processes import HOST
from service.serving.server import configuration
from service.settings import Settings
from service.web.routes.sessions import LogoutBody


@post("/", status_code=204)
async def floor(data: LogoutBody) -> None:
    """Decode and forget."""


app = Litestar([floor], openapi_config=None, logging_config=None)

if __name__ == "__main__":
    config = configuration(app, Settings())
    config.host, config.port = HOST, int(sys.argv[1])
    config.http = "httptools"  # uvicorn's own: what we add to it is measured
    uvicorn.Server(config).run()
