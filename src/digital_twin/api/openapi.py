"""What holds for every operation, written once into the OpenAPI document."""

from typing import Any

from pydantic.json_schema import models_json_schema

from digital_twin.api.problems import PROBLEM_TYPE
from digital_twin.api.route import PERMISSION
from digital_twin.api.routes.readings import BODY_SCHEMAS
from digital_twin.services.access import Permission

_PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "in": {"type": "string"},
                    "pointer": {"type": "string"},
                    "detail": {"type": "string"},
                    "series": {"type": "string", "description": "Of a refused reading, as are the next three"},
                    "member_id": {"type": ["string", "null"]},
                    "asset_id": {"type": ["string", "null"]},
                    "start": {"type": "string", "format": "date-time"},
                },
            },
        },
        "rejected_count": {"type": "integer", "description": "Of readings that were refused; errors names the first"},
    },
}
_ALWAYS = {
    400: "Not HTTP or not JSON",
    406: "No answer of the type that Accept names",
    422: "A value breaks a rule",
    429: "Too many requests",
    503: "Try again later",
}
_SIGNED_IN = {401: "Say who you are", 403: "Not your right", 404: "Not there or not yours", 409: "Changed or not ready"}
_WITH_BODY = {413: "The body is too large", 415: "Another content type"}
_ON_CHANGE = {412: "Changed meanwhile"}

_METHODS = ("get", "post", "put", "patch", "delete")


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """The document with security schemes, problems for every operation, and hand-parsed bodies."""
    components = document.setdefault("components", {})
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "The access token of POST /auth/login"},
        "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    schemas = components.setdefault("schemas", {})
    schemas["Problem"] = _PROBLEM_SCHEMA
    _, extra = models_json_schema(
        [(model, "validation") for model in BODY_SCHEMAS], ref_template="#/components/schemas/{model}"
    )
    for name, schema in extra.get("$defs", {}).items():
        schemas.setdefault(name, schema)
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for path in document["paths"].values():
        for method in _METHODS:
            if method in path:
                _add_problems(path[method], method)
    return document


def _add_problems(operation: dict[str, Any], method: str) -> None:
    problems = dict(_ALWAYS)
    if operation.get(PERMISSION) != Permission.PUBLIC:
        problems |= _SIGNED_IN
    else:
        problems |= {404: _SIGNED_IN[404], 409: _SIGNED_IN[409], 401: _SIGNED_IN[401], 403: _SIGNED_IN[403]}
    if "requestBody" in operation:
        problems |= _WITH_BODY
    if method in ("put", "patch", "delete"):
        problems |= _ON_CHANGE
    content = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    responses = operation.setdefault("responses", {})
    for status, description in problems.items():
        declared = responses.get(str(status))
        if declared is None or status == 422:
            responses[str(status)] = {"description": description, "content": content}
