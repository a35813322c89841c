"""A page of the OpenAPI document for people: each call with its fields and its answers."""

import base64
import hashlib
from html import escape
from typing import Any

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
code { font-family: ui-monospace, monospace } h2 { font-size: 1rem; margin: 1rem 0 0 }
details { border-top: 1px solid #8888; padding: .5rem 0 } summary { cursor: pointer }
summary code { font-weight: 700 } table { border-collapse: collapse; margin: .5rem 0 1rem }
td, th { padding: .1rem 1rem .1rem 0; vertical-align: top; text-align: left; font-weight: 400 }
:root { color-scheme: light dark }
"""

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"
)
"""Nothing but the style of the page itself."""


def render(document: dict[str, Any]) -> bytes:
    """Render the page. It holds no script, and nothing in it is loaded."""
    schemas = document["components"]["schemas"]
    calls = "".join(
        _call(path, method, operation, schemas)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    )
    title = escape(document["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>{title}</h1><p>{escape(document['info']['description'])} For programs: "
        f'<a href="/schema/openapi.json">OpenAPI</a>.</p>{calls}{_types(schemas)}</html>\n'
    ).encode()


def _call(path: str, method: str, operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    bearer = "<p>With <code>Authorization: Bearer</code> and an access token.</p>"
    body = _fields(operation.get("requestBody", {}), schemas)
    answers = "".join(
        f"<tr><td>{escape(status)}<td>{_marked(response['description'])}"
        f"{_fields(response, schemas) if status < '300' else ''}"
        for status, response in operation["responses"].items()
    )
    return (
        f"<details><summary><code>{method.upper()} {escape(path)}</code> "
        f"{escape(operation['summary'])}</summary>"
        f"<p>{_marked(operation.get('description', ''))}</p>"
        f"{bearer if operation.get('security') else ''}"
        f"{'<h2>Body</h2>' + body if body else ''}"
        f"<h2>Answers</h2><table>{answers}</table></details>"
    )


def _fields(holder: dict[str, Any], schemas: dict[str, Any]) -> str:
    """Render a table of the fields of a body, one of `requestBody` or of a response."""
    content: dict[str, Any] = next(iter(holder.get("content", {}).values()), {})
    name = _reference(content.get("schema", {}))
    return _table(name, schemas) if name in schemas else ""


def _types(schemas: dict[str, Any]) -> str:
    """Render the tables of what fields of other bodies consist of."""
    fields = (field for schema in schemas.values() for field in schema["properties"].values())
    names = {_reference(field.get("items", field)) for field in fields} - {""}
    tables = (f"<h2>{_type_name(name)}</h2>{_table(name, schemas)}" for name in sorted(names))
    return f"<details open><summary>Types of fields</summary>{''.join(tables)}</details>"


def _table(name: str, schemas: dict[str, Any]) -> str:
    required = schemas[name].get("required", [])
    rows = "".join(
        f"<tr><td><code>{escape(field)}</code><td>{escape(_type(schema))}"
        f"<td>{'' if field in required else 'optional'}"
        for field, schema in schemas[name].get("properties", {}).items()
    )
    return f"<table>{rows}</table>"


def _reference(schema: dict[str, Any]) -> str:
    """Return the name of the component that this is, or may be."""
    choices = [schema, *schema.get("oneOf", [])]
    return next((str(one["$ref"]).rpartition("/")[2] for one in choices if "$ref" in one), "")


def _type(schema: dict[str, Any]) -> str:
    if name := _reference(schema):
        return _type_name(name)
    if "oneOf" in schema:
        return " or ".join(_type(choice) for choice in schema["oneOf"])
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if isinstance(kind, list):
        return " or ".join(kind)
    return f"{kind} ({schema['format']})" if "format" in schema else str(kind)


def _type_name(schema: str) -> str:
    return schema.removesuffix("Body")


def _marked(text: str) -> str:
    """Escape a text, and mark up its `code`."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))
