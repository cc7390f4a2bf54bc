"""What webhooks are sent, in the OpenAPI document (3.1 has a place for it)."""

from __future__ import annotations

from typing import Any

from backend.states import WebhookEvent

_HEADERS = {
    "webhook-id": "the same in every try of a message",
    "webhook-timestamp": "of this try, in Unix seconds",
    "webhook-signature": "`v1,` and the base64 of HMAC-SHA256 over `<id>.<timestamp>.<body>`, one for each secret",
}
_MESSAGE = {
    "type": "object",
    "required": ["type", "timestamp", "data"],
    "properties": {
        "type": {"type": "string", "enum": [event.value for event in WebhookEvent]},
        "timestamp": {"type": "string", "format": "date-time", "description": "when it came about"},
        "data": {"$ref": "#/components/schemas/JobResource"},
    },
}


def describe(spec: dict[str, Any]) -> None:
    """Adds `webhooks` to the document."""
    spec["webhooks"] = {
        "job": {
            "post": {
                "summary": "What a job's webhook_url is told",
                "description": "As standardwebhooks.com has it: at least once, in no promised order, for three days.",
                "parameters": [
                    {"name": name, "in": "header", "required": True, "description": said, "schema": {"type": "string"}}
                    for name, said in _HEADERS.items()
                ],
                "requestBody": {"required": True, "content": {"application/json": {"schema": _MESSAGE}}},
                "responses": {
                    "2XX": {"description": "taken"},
                    "410": {"description": "nothing more is wanted: this message is not sent again"},
                    "default": {"description": "sent again later"},
                },
            }
        }
    }
