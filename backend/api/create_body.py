"""The body of POST /jobs in the OpenAPI document. One operation takes two kinds of body, and `params` depends on the
kind: both is more than the library's decorator can say."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, create_model
from pydantic.json_schema import JsonSchemaValue

from backend.api import schemas
from backend.kinds import KINDS
from backend.kinds.base import Kind

DEFAULT_KIND = "crop"
_REFERENCE = "#/components/schemas/{model}"
_FORM: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "kind": {"type": "string", "default": DEFAULT_KIND},
        "params": {"type": "string", "description": "a JSON object", "default": "{}"},
        "deep_mode": {"type": "string", "enum": ["gpu", "cpu"], "default": "gpu"},
        "priority": {"type": "integer", "minimum": -100, "maximum": 100, "default": 0},
        "callback_url": {"type": "string"},
        "webhook_url": {"type": "string"},
        "webhook_events": {"type": "string", "description": "with commas between them"},
    },
}


def describe(spec: dict[str, Any], operation: dict[str, Any]) -> None:
    """Adds the body to the operation, and the schemas that it refers to, to the document's components."""
    union, parts = _union()
    spec.setdefault("components", {}).setdefault("schemas", {}).update(parts)
    content = {"application/json": {"schema": union}, "multipart/form-data": {"schema": _FORM}}
    operation["requestBody"] = {"required": True, "content": content}


def _union() -> tuple[JsonSchemaValue, dict[str, Any]]:
    """A request of each kind, told apart by `kind`, with its own parameters."""
    requests = tuple(_request_of(kind) for kind in KINDS.values())
    asked: Any = requests[0]
    for request in requests[1:]:
        asked = asked | request
    if len(requests) > 1:
        asked = Annotated[asked, Field(discriminator="kind")]
    schema = TypeAdapter(asked).json_schema(ref_template=_REFERENCE)
    return schema, schema.pop("$defs", {})


def _request_of(kind: Kind[Any]) -> Any:
    """JobRequest of this kind. Whatever has no default has to be in the parameters."""
    name: Any = Literal[kind.name]
    is_needed = any(field.is_required() for field in kind.params.model_fields.values())
    title = "".join(word.capitalize() for word in kind.name.split("_"))
    return create_model(
        f"{title}JobRequest",
        __base__=schemas.JobRequest,
        kind=(name, DEFAULT_KIND if kind.name == DEFAULT_KIND else ...),
        params=(kind.params, ... if is_needed else Field(default_factory=dict)),
    )
