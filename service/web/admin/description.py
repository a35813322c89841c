"""The description of operators' HTTP: for people and for programs. It asks for no key."""

from litestar import MediaType, get
from litestar.openapi import ResponseSpec

from service.web import openapi
from service.web.authentication import PUBLIC
from service.web.requests import JsonRequest
from service.web.routes.bodies import failures
from service.web.schema_page import CONTENT_SECURITY_POLICY


@get(
    "/schema",
    opt=PUBLIC,
    media_type=MediaType.HTML,
    summary="This API, for people",
    response_headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY},
    responses={200: ResponseSpec(str, False, "A page", "text/html")} | failures(),
)
async def admin_schema_page(request: JsonRequest) -> bytes:
    """Show this document as a page. It loads nothing from anywhere."""
    return (await openapi.pages_of(request.app)).page


@get(
    "/schema/openapi.json",
    opt=PUBLIC,
    media_type=MediaType.JSON,
    summary="This API, for programs",
    responses={200: ResponseSpec(dict[str, object], False, "The document")} | failures(),
)
async def admin_schema_document(request: JsonRequest) -> bytes:
    """Return this document (OpenAPI 3.1)."""
    return (await openapi.pages_of(request.app)).document


ROUTES = [admin_schema_page, admin_schema_document]
