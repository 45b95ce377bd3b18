"""What the client asks about plans that are kept: why, as a model, traded off, put in force."""

from typing import Any, Literal

from digital_twin.client_connection import Connection
from digital_twin.domain.identifiers import check_identifier

Document = dict[str, Any]


class PlanClient:
    """`TwinClient.plans`; results are named by their id."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def explanation(self, community_id: str, result_id: str) -> Document:
        """What its limits are worth on either side, and what it does when at which prices."""
        return self._asked("GET", f"{_path(community_id, result_id)}/explanation")

    def model(self, community_id: str, result_id: str, form: Literal["lp", "mps"] = "lp") -> str:
        """The linear program whose optimum it is."""
        path = f"{_path(community_id, result_id)}/model"
        return self._connection.send("GET", path, params={"format": form}).text

    def csv(self, community_id: str, result_id: str) -> str:
        """A row for each interval."""
        return self._connection.send("GET", _path(community_id, result_id), headers={"Accept": "text/csv"}).text

    def trade_off(self, community_id: str, against: str, **request: Any) -> Document:
        """Plans from the cheapest to the best in `against`. Fields as in `POST .../optimization/pareto`."""
        body = {"against": against, **request}
        return self._asked("POST", f"/communities/{community_id}/optimization/pareto", json=body)

    def keep_point(self, community_id: str, result_id: str, number: int) -> Document:
        """One point of a trade-off as a plan of its own."""
        check_identifier(result_id, "result_id")
        path = f"/communities/{community_id}/optimization/pareto/{result_id}/points/{number}"
        return self._asked("POST", path)

    def apply(self, community_id: str, result_id: str) -> Document:
        """Put a plan in force; needs a recent log-in."""
        check_identifier(result_id, "result_id")
        return self._asked("POST", f"/communities/{community_id}/schedules/{result_id}/apply")

    def active(self, community_id: str) -> Document:
        """The plan in force. Raises NotFound when there is none."""
        return self._asked("GET", f"/communities/{community_id}/schedules/active")

    def withdraw(self, community_id: str) -> None:
        """Let no plan be in force."""
        self._connection.send("DELETE", f"/communities/{community_id}/schedules/active")

    def _asked(self, method: str, path: str, **options: Any) -> Document:
        return self._connection.send(method, path, **options).json()


def _path(community_id: str, result_id: str) -> str:
    check_identifier(result_id, "result_id")  # `..` would be another address
    return f"/communities/{community_id}/optimization/results/{result_id}"
