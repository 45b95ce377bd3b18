"""The operations of the application's own OpenAPI document, with the examples that it gives for their bodies."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Operation:
    """A method and a path."""

    method: str
    path: str
    permission: str
    examples: tuple[tuple[str, Any], ...]  # media type and body

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    def address(self, ids: Mapping[str, Any]) -> str:
        """The path with these ids."""
        return self.path.format_map(ids)

    def example(self) -> Any:
        """The first JSON example, None without a body."""
        bodies = [body for media_type, body in self.examples if media_type == "application/json"]
        return copy.deepcopy(bodies[0]) if bodies else None


def operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    """Every operation of the document."""
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method in methods:
                details = methods[method]
                examples = tuple(_examples(document, details))
                yield Operation(method.upper(), path, details["x-required-permission"], examples)


def _examples(document: Mapping[str, Any], details: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for media_type, content in details.get("requestBody", {}).get("content", {}).items():
        if "example" in content:
            yield media_type, content["example"]
        for schema in _schemas(document, content["schema"]):
            for example in schema.get("examples", ()):
                yield media_type, example


def _schemas(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for one in schema.get("anyOf", [schema]):
        name = one.get("$ref", "").rpartition("/")[2]
        yield document["components"]["schemas"][name] if name else one
