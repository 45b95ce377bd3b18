"""Topics of the message broker: what is read of them, and what could not be."""

from typing import Annotated, Any

from fastapi import Query, Request, Response

from digital_twin.api.cursors import from_cursor, to_cursor
from digital_twin.api.etags import expected_version, or_precondition_failed, set_etag
from digital_twin.api.route import GrantDep, TwinDep, requires, twin_router
from digital_twin.api.schemas.topics import (
    DeadLetterBody,
    DeadLetterPage,
    DeadLetterQuery,
    RemovalAnswer,
    RemovalQuery,
    TopicMappingBody,
    TopicMappingList,
    TrialAnswer,
    TrialBody,
    UnreadableMappingBody,
)
from digital_twin.domain.errors import InvalidInput
from digital_twin.services.access import Permission
from digital_twin.services.ports import StoredMapping
from digital_twin.services.topics import readable

router = twin_router("topics")


@router.post("/communities/{community_id}/topic-mappings", status_code=201, **requires(Permission.COMMUNITY_WRITE))
async def create_topic_mapping(
    community_id: str, body: TopicMappingBody, twin: TwinDep, grant: GrantDep, response: Response
) -> TopicMappingBody:
    """Read messages of some topics from now on.

    Topics below `communities/{community_id}/` are the community's own; only an administrator maps any other.
    """
    stored = await twin.topics.create(grant, body.to_domain())
    response.headers["Location"] = f"/communities/{community_id}/topic-mappings/{body.mapping_id}"
    return _answer(stored, response)


@router.get("/communities/{community_id}/topic-mappings", **requires(Permission.READINGS_WRITE))
async def list_topic_mappings(community_id: str, twin: TwinDep, grant: GrantDep) -> TopicMappingList:
    """All topic mappings by id, and apart those that are stored but cannot be read."""
    read, unreadable = await twin.topics.all(grant)
    return TopicMappingList(
        topic_mappings=[TopicMappingBody.from_domain(one) for one in read],
        unreadable=[UnreadableMappingBody(mapping_id=one.mapping_id, reason=one.reason) for one in unreadable],
    )


@router.post("/communities/{community_id}/topic-mappings/try", **requires(Permission.READINGS_WRITE))
async def try_topic_mapping(community_id: str, body: TrialBody, twin: TwinDep, grant: GrantDep) -> TrialAnswer:
    """What a mapping, kept or not, would make of a message; nothing is stored."""
    sifted = await twin.topics.try_out(grant, body.mapping.to_domain(), body.topic, body.payload.encode())
    return TrialAnswer.from_sifted(sifted)


@router.get("/communities/{community_id}/topic-mappings/{mapping_id}", **requires(Permission.READINGS_WRITE))
async def get_topic_mapping(
    community_id: str, mapping_id: str, twin: TwinDep, grant: GrantDep, response: Response
) -> TopicMappingBody:
    """One topic mapping with its ETag; 409 where what is stored of it cannot be read."""
    return _answer(await twin.topics.get(grant, mapping_id), response)


@router.put("/communities/{community_id}/topic-mappings/{mapping_id}", **requires(Permission.COMMUNITY_WRITE))
async def replace_topic_mapping(  # noqa: PLR0913  the path and what FastAPI hands over
    community_id: str,
    mapping_id: str,
    body: TopicMappingBody,
    twin: TwinDep,
    grant: GrantDep,
    *,
    request: Request,
    response: Response,
) -> TopicMappingBody:
    """Replace a topic mapping, which holds at once; with If-Match only the version that you saw."""
    change: Any = twin.topics.replace(grant, mapping_id, body.to_domain(), expected_version=expected_version(request))
    return _answer(await or_precondition_failed(request, change), response)


@router.delete(
    "/communities/{community_id}/topic-mappings/{mapping_id}", status_code=204, **requires(Permission.COMMUNITY_WRITE)
)
async def delete_topic_mapping(
    community_id: str, mapping_id: str, twin: TwinDep, grant: GrantDep, request: Request
) -> None:
    """Read its topics no longer; what was read stays."""
    change: Any = twin.topics.remove(grant, mapping_id, expected_version=expected_version(request))
    await or_precondition_failed(request, change)


@router.get("/communities/{community_id}/dead-letters", **requires(Permission.READINGS_WRITE))
async def list_dead_letters(
    community_id: str, twin: TwinDep, grant: GrantDep, query: Annotated[DeadLetterQuery, Query()]
) -> DeadLetterPage:
    """Messages of which something could not be stored, newest first: the 10,000 newest of the last 30 days."""
    before = from_cursor(query.cursor)
    if before is not None and not (before.isascii() and before.isdigit() and len(before) < 19):
        raise InvalidInput("cursor must be the `next` of an earlier page", field="cursor")
    page = await twin.topics.dead_letters(grant, before=None if before is None else int(before), limit=query.limit)
    full = len(page) == query.limit
    return DeadLetterPage(
        dead_letters=[DeadLetterBody.from_letter(letter) for letter in page],
        next=to_cursor(str(page[-1].letter_id)) if full else None,
    )


@router.delete("/communities/{community_id}/dead-letters", **requires(Permission.COMMUNITY_WRITE))
async def delete_dead_letters(
    community_id: str, twin: TwinDep, grant: GrantDep, query: Annotated[RemovalQuery, Query()]
) -> RemovalAnswer:
    """Delete all dead letters, or those received until an instant."""
    return RemovalAnswer(deleted=await twin.topics.remove_dead_letters(grant, received_until=query.received_until))


def _answer(stored: StoredMapping, response: Response) -> TopicMappingBody:
    set_etag(response, stored.version)
    return TopicMappingBody.from_domain(readable(stored))
