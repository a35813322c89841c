"""`python -m service` with routes that do not say whether they are public."""

import sys

from litestar import Router, get

from service import app
from service.cli.program import main


@get("/unmarked")
async def unmarked() -> str:
    """A route of somebody who has thought of nothing."""
    return "secret"


@get("/not-public", opt={"public": False})
async def not_public() -> str:
    """One that says so."""
    return "secret"


@get("/further", name="inner")
async def within() -> str:
    """One in a router."""
    return "secret"


app._ROUTES += [unmarked, not_public]
app.pages.ROUTES.append(Router("/deeper", route_handlers=[within]))  # type: ignore[arg-type]

if __name__ == "__main__":
    sys.exit(main())
