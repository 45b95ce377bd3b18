"""What the client asks about members' parts of a plan: of all, of one, as a file."""

from collections.abc import Iterator
from typing import Any, BinaryIO

from digital_twin.client_connection import Connection, plain
from digital_twin.domain.identifiers import check_identifier

Document = dict[str, Any]


class MemberPlanClient:
    """`TwinClient.member_plans`; the plan itself is asked for with `dispatch(..., level="member")`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(self, community_id: str, result_id: str) -> Iterator[Document]:
        """What each member is planned to do, page by page."""
        params: dict[str, Any] = {}
        while True:
            page = self._connection.send("GET", _path(community_id, result_id), params=params).json()
            yield from page["members"]
            if page["next"] is None:
                return
            params = {"cursor": page["next"]}

    def of(self, community_id: str, member_id: str, *, result_id: str | None = None) -> Document:
        """One member's plan, the newest unless a result is named."""
        check_identifier(member_id, "member_id")  # `..` would be another address
        path = f"/communities/{community_id}/members/{member_id}/plan"
        return self._connection.send("GET", path, params=plain({"result_id": result_id})).json()

    def download(self, community_id: str, result_id: str, *, file: BinaryIO, media_type: str = "text/csv") -> None:
        """Write the plans of all members into a file: as CSV, Arrow or Parquet."""
        for piece in self._connection.download(
            _path(community_id, result_id), params={}, headers={"Accept": media_type}
        ):
            file.write(piece)


def _path(community_id: str, result_id: str) -> str:
    check_identifier(result_id, "result_id")
    return f"/communities/{community_id}/optimization/results/{result_id}/members"
