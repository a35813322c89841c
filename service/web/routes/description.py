"""The description of an app's calls: for people and for programs."""

import asyncio

from litestar import MediaType, Response, get
from litestar.openapi import ResponseSpec
from litestar.params import FromPath

from service.web import openapi, schema_page as schema
from service.web.authentication import PUBLIC
from service.web.requests import JsonRequest
from service.web.routes.bodies import failures
from service.web.static_files import FRESH, answer_with


@get(
    "/schema",
    opt=PUBLIC,
    media_type=MediaType.HTML,
    summary="This API, for people",
    response_headers={"Content-Security-Policy": schema.CONTENT_SECURITY_POLICY},
    responses={200: ResponseSpec(str, False, "A page", "text/html")} | failures(),
)
async def schema_page(request: JsonRequest) -> bytes:
    """Show this document as a page, on which each call can be tried out."""
    return schema.render(openapi.title_of(request.app))


@get("/schema/{name:str}", opt=PUBLIC, response_headers=FRESH, include_in_schema=False)
async def schema_file(request: JsonRequest, name: FromPath[str]) -> Response[bytes]:
    """Serve what the page loads.

    Raises:
        NotFoundException: there is no such file.
    """
    files = await asyncio.to_thread(schema.files)
    return answer_with(request, files.get(name))


@get(
    "/schema/openapi.json",
    opt=PUBLIC,
    media_type=MediaType.JSON,
    summary="This API, for programs",
    responses={200: ResponseSpec(dict[str, object], False, "The document")} | failures(),
)
async def schema_document(request: JsonRequest) -> bytes:
    """Return this document (OpenAPI 3.1)."""
    return await openapi.document_of(request.app)


ROUTES = [schema_page, schema_file, schema_document]
