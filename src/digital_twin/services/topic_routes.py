"""Whom a topic concerns: the mappings of all communities, found level by level."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.topics import TopicTemplate
from digital_twin.services.payloads import PayloadReader
from digital_twin.services.ports import KeptMapping, UnreadableMapping

ANY = "+"


@dataclass(frozen=True, slots=True)
class Route:
    """A community and one of its mappings, ready to read."""

    community_id: str
    reader: PayloadReader


@dataclass(slots=True)
class _Node:
    next: dict[str, "_Node"] = field(default_factory=dict[str, "_Node"])
    routes: list[Route] = field(default_factory=list[Route])


def ready(kept: KeptMapping) -> PayloadReader | UnreadableMapping:
    """What reads by this mapping, where anything can: paths that were taken once may be none to a later version."""
    if isinstance(kept, UnreadableMapping):
        return kept
    try:
        return PayloadReader(kept)
    except InvalidInput as error:
        return UnreadableMapping(kept.mapping_id, error.message)


class TopicRoutes:
    """The routes of a topic, however many there are in all."""

    def __init__(self, routes: Iterable[Route] = ()) -> None:
        self._root = _Node()
        filters: set[str] = set()
        for route in routes:
            subscribed = route.reader.mapping.topic.filter
            filters.add(subscribed)
            node = self._root
            for level in subscribed.split("/"):
                node = node.next.setdefault(level, _Node())
            node.routes.append(route)
        self.filters = frozenset(filters)
        """What to subscribe to."""

    def of(self, topic: str) -> list[Route]:
        """Every route whose template fits."""
        return list(_found(self._root, topic.split("/")))


def fits(template: TopicTemplate, topic: str) -> bool:
    """Whether a message under this topic would be read."""
    wanted, given = template.filter.split("/"), topic.split("/")
    return len(wanted) == len(given) and all(one in (ANY, level) for one, level in zip(wanted, given, strict=True))


def _found(node: _Node, levels: Sequence[str]) -> Iterator[Route]:
    if not levels:
        yield from node.routes
        return
    for name in (levels[0], ANY):
        if name in node.next:
            yield from _found(node.next[name], levels[1:])
