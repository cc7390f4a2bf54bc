"""How routes say in the OpenAPI document what they answer, and what they take by hand."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

FILE_HEADERS = {
    "ETag": {"description": "strong: for If-None-Match, If-Match and If-Range", "schema": {"type": "string"}},
    "Accept-Ranges": {"schema": {"const": "bytes"}},
}
POLLED_HEADERS = {"ETag": {"description": "for If-None-Match", "schema": {"type": "string"}}}
LOCATION = {"Location": {"schema": {"type": "string"}}}
LINK = {"Link": {"description": 'the next page, rel="next" (RFC 8288)', "schema": {"type": "string"}}}
RETRY_AFTER = {"Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 0}}}
_REFERENCE = "#/components/schemas/{model}"
_REFERRED: dict[str, type[BaseModel]] = {}
_BYTES: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}


def a_file(*content_types: str, moved: int | None = None) -> dict[int | str, Any]:
    """The answers of a route that serves a file; `moved`: or leads to where it can be fetched."""
    content = {each: {} if "json" in each else _BYTES for each in content_types}
    found: dict[int | str, Any] = {
        200: {"description": "the file", "content": content, "headers": FILE_HEADERS},
        206: {
            "description": "the part that Range asks for",
            "content": content,
            "headers": {**FILE_HEADERS, "Content-Range": {"schema": {"type": "string"}}},
        },
        304: {"description": "it is the one that If-None-Match names", "headers": POLLED_HEADERS},
    }
    if moved is not None:
        found[moved] = {"description": "a signed link to it", "headers": LOCATION}
    return found


def json_answer(model: type[BaseModel], description: str, **headers: Any) -> dict[str, Any]:
    """An answer of a model, with headers."""
    _REFERRED[model.__name__] = model
    reference = {"$ref": _REFERENCE.format(model=model.__name__)}
    return {"description": description, "content": {"application/json": {"schema": reference}}, "headers": headers}


def referred_schemas() -> dict[str, Any]:
    """Of the models that `json_answer` was given, and of those that they refer to."""
    found: dict[str, Any] = {}
    for name, model in _REFERRED.items():
        schema = model.model_json_schema(ref_template=_REFERENCE, mode="serialization")
        found |= schema.pop("$defs", {})
        found[name] = schema
    return found


def unchanged() -> dict[str, Any]:
    return {"description": "it is as If-None-Match has it", "headers": POLLED_HEADERS}


def json_body(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """A body that the view reads itself. The model refers to no others."""
    return {"required": required, "content": {"application/json": {"schema": model.model_json_schema()}}}


def bytes_body() -> dict[str, Any]:
    return {"required": True, "content": {"application/octet-stream": _BYTES}}
