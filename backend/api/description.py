"""What the OpenAPI document says of problems and headers, derived from each operation's shape: a route that is new has
it as well, and none can forget it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from backend.api import schemas
from backend.api.answers import RETRY_AFTER, referred_schemas
from backend.api.errors import Known, known_problems

Operation = dict[str, Any]
PROBLEM = "application/problem+json"
_OPEN = {400, 500}
_CHECKED = {400, 401, 403, 429, 500, 503}
_READ_BODY = {408, 411, 413, 415, 422}
_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}}},
    409: RETRY_AFTER,
    416: {"Content-Range": {"schema": {"type": "string"}}},
    429: RETRY_AFTER,
}
_FILE_PARAMETERS = {
    "Range": "one range of bytes gives 206; several, or others, the whole",
    "If-Range": "the ETag that the range is of",
    "If-None-Match": "304 where it is one of these",
    "If-Match": "412 where it is none of these",
}
_IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "a repeat with the same body gives the same job; with another body 422, and 409 meanwhile",
    "schema": {"type": "string", "maxLength": 255},
}


def describe(spec: dict[str, Any]) -> None:
    """Completes every operation of the document."""
    components = spec["components"]
    components["schemas"].pop("ValidationErrorModel", None)
    components["schemas"] |= referred_schemas()
    components["schemas"]["Problem"] = _problem_schema(components["schemas"])
    components["responses"] = {_name(status): _response(status, known) for status, known in _by_status().items()}
    for path, method, operation in operations(spec):
        _complete(path, method, operation)
    components["schemas"] = {name: _without_definitions(schema) for name, schema in components["schemas"].items()}


def operations(spec: dict[str, Any]) -> Iterator[tuple[str, str, Operation]]:
    """(path, method in small letters, operation)."""
    for path, item in spec["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def _complete(path: str, method: str, operation: Operation) -> None:
    answers = operation["responses"]
    for wildcard in ("4XX", "5XX", "422"):
        answers.pop(wildcard, None)
    is_file = "206" in answers
    if is_file:
        operation["parameters"] = [*operation.get("parameters", []), *_file_parameters()]
    if (path, method) == ("/api/v1/jobs", "post"):
        operation["parameters"] = [_IDEMPOTENCY]
    for status in sorted(_statuses(path, method, operation, is_file)):
        answers[str(status)] = {"$ref": f"#/components/responses/{_name(status)}"}


def _statuses(path: str, method: str, operation: Operation, is_file: bool) -> set[int]:
    """Of the problems that it can give. A few of them no client will ever see: better said than missing."""
    places = {each["in"] for each in operation.get("parameters", [])}
    found = set(_CHECKED if path not in ("/health", "/ready") else _OPEN)
    if path == "/ready":
        found.add(503)
    if "path" in places:
        found.add(404)
    if places & {"path", "query"}:
        found.add(422)
    if "requestBody" in operation:
        found |= _READ_BODY
    if method != "get":
        found |= {404, 409, 422, 507}
    if is_file:
        found |= {404, 409, 412, 416}
    if "{job_id}/" in path:  # what a job has only once it has come so far
        found.add(409)
    return found


def _file_parameters() -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "description": words, "schema": {"type": "string"}}
        for name, words in _FILE_PARAMETERS.items()
    ]


def _by_status() -> dict[int, list[Known]]:
    found: dict[int, list[Known]] = defaultdict(list)
    for each in known_problems():
        found[each.status].append(each)
    return found


def _response(status: int, known: list[Known]) -> dict[str, Any]:
    lines = [f"`{each.code}`: {each.title}" for each in known]
    codes = {"properties": {"status": {"const": status}, "code": {"enum": [each.code for each in known]}}}
    schema = {"allOf": [{"$ref": "#/components/schemas/Problem"}, codes]}
    found: dict[str, Any] = {"description": "\n".join(lines), "content": {PROBLEM: {"schema": schema}}}
    if status in _HEADERS:
        found["headers"] = _HEADERS[status]
    return found


def _problem_schema(known: dict[str, Any]) -> dict[str, Any]:
    schema = schemas.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    known.update(schema.pop("$defs", {}))
    return schema


def _without_definitions(schema: dict[str, Any]) -> dict[str, Any]:
    """They stand beside it, where the references lead."""
    return {name: value for name, value in schema.items() if name != "$defs"}


def _name(status: int) -> str:
    return f"Problem{status}"
