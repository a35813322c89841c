"""The floor of a start: Litestar with one empty handler, on uvicorn.

`python -m tools.bench.empty_app <port>`
"""

import sys

import uvicorn
from litestar import Litestar, get


@get("/")
async def empty() -> None:
    """Do nothing."""


if __name__ == "__main__":
    uvicorn.run(
        Litestar([empty], openapi_config=None),
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="error",
    )
