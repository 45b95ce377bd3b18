"""Who looks at which community, and with which right."""

from dataclasses import dataclass
from datetime import tzinfo

from digital_twin.client import TwinClient
from digital_twin.dashboard.clock import zone_of
from digital_twin.dashboard.frames import Document


@dataclass(frozen=True, slots=True)
class Visit:
    """What a page is shown for."""

    client: TwinClient
    community: Document
    may_run: bool
    member_id: str | None = None
    """Whose data alone the one who looks may see; None where all may be seen."""

    @property
    def community_id(self) -> str:
        return self.community["community_id"]

    @property
    def name(self) -> str:
        return display_name(self.community)

    @property
    def zone_name(self) -> str:
        return self.community.get("timezone") or "UTC"

    @property
    def zone(self) -> tzinfo:
        return zone_of(self.community.get("timezone"))

    @property
    def currency(self) -> str:
        return self.community.get("currency") or "EUR"


def display_name(community: Document) -> str:
    """The community's name, or its id in plain words."""
    return community.get("name") or community["community_id"].replace("_", " ").replace("-", " ").capitalize()


def bound_member(me: Document, community_id: str) -> str | None:
    """The member whose data alone this person may see there."""
    if me.get("role") == "admin":
        return None
    mine = [one for one in me.get("communities") or [] if one["community_id"] == community_id]
    return next((one["member_id"] for one in mine if one.get("member_id")), None)


def may_run(me: Document, community_id: str) -> bool:
    """Whether this person may plan and simulate there, or only look."""
    if me.get("role") == "admin":
        return True
    return any(
        one["community_id"] == community_id and one["role"] in ("admin", "operator")
        for one in me.get("communities") or []
    )
