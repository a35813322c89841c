"""The description of an app's calls: for people and for programs."""

import asyncio

from litestar import MediaType, Response, get
from litestar.exceptions import NotFoundException
from litestar.openapi import ResponseSpec

from service.web import openapi, schema_page as schema
from service.web.authentication import PUBLIC
from service.web.requests import JsonRequest, headers_of
from service.web.routes.bodies import failures

_FRESH = {"Cache-Control": "no-cache"}
"""A browser asks each time whether its copy still holds."""


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


@get("/schema/{name:str}", opt=PUBLIC, response_headers=_FRESH, include_in_schema=False)
async def schema_file(request: JsonRequest, name: str) -> Response[bytes]:
    """Serve what the page loads.

    Raises:
        NotFoundException: there is no such file.
    """
    found = (await asyncio.to_thread(schema.files)).get(name)
    if found is None:
        raise NotFoundException
    headers = {"ETag": found.tag}
    if headers_of(request.scope).get(b"if-none-match", b"").decode("latin-1") == found.tag:
        return Response(b"", status_code=304, headers=headers, media_type=found.media_type)
    return Response(found.content, headers=headers, media_type=found.media_type)


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
