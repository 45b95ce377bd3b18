"""Where everything is kept, one transaction at a time."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from digital_twin.services.ports.accounts import Accounts
from digital_twin.services.ports.communities import Communities, Members, Readings, Results
from digital_twin.services.ports.events import Events
from digital_twin.services.ports.feeds import Feeds
from digital_twin.services.ports.forecasts import IssuedForecasts
from digital_twin.services.ports.keeping import Keeping
from digital_twin.services.ports.member_plans import MemberPlans
from digital_twin.services.ports.models import TrainedModels
from digital_twin.services.ports.plan_questions import PlanQuestions
from digital_twin.services.ports.runs import RunQueue, Runs
from digital_twin.services.ports.states import States
from digital_twin.services.ports.topics import DeadLetters, Ingesters, Sampled, TopicMappings


@dataclass(frozen=True, slots=True)
class Replay:
    """The answer that an idempotency key was given before."""

    fingerprint: bytes
    status: int
    headers: dict[str, str]
    body: bytes


class Replays(Protocol):
    """Idempotency keys, kept for a day, in flight for five minutes; one claimed inside a community goes with it."""

    async def claim(self, scope: str, key: str, fingerprint: bytes) -> bool:
        """Whether the key is the caller's from now on; False when somebody has it."""
        ...

    async def find(self, scope: str, key: str) -> Replay | None:
        """What the key stands for; its status is 0 while in flight."""
        ...

    async def finish(self, scope: str, key: str, replay: Replay) -> None: ...

    async def release(self, scope: str, key: str) -> None: ...


class Transaction(Protocol):
    """One database transaction; commits when its block ends well."""

    @property
    def communities(self) -> Communities: ...
    @property
    def members(self) -> Members: ...
    @property
    def readings(self) -> Readings: ...
    @property
    def keeping(self) -> Keeping: ...
    @property
    def states(self) -> States: ...
    @property
    def results(self) -> Results: ...
    @property
    def member_plans(self) -> MemberPlans: ...
    @property
    def plan_questions(self) -> PlanQuestions: ...
    @property
    def trained_models(self) -> TrainedModels: ...
    @property
    def issued_forecasts(self) -> IssuedForecasts: ...
    @property
    def runs(self) -> Runs: ...
    @property
    def events(self) -> Events: ...
    @property
    def feeds(self) -> Feeds: ...
    @property
    def topic_mappings(self) -> TopicMappings: ...
    @property
    def dead_letters(self) -> DeadLetters: ...
    @property
    def sampled(self) -> Sampled: ...
    @property
    def ingesters(self) -> Ingesters: ...
    @property
    def run_queue(self) -> RunQueue: ...
    @property
    def accounts(self) -> Accounts: ...
    @property
    def replays(self) -> Replays: ...


class Store(Protocol):
    """Where everything is kept."""

    def platform(self) -> AbstractAsyncContextManager[Transaction]:
        """A transaction over accounts, memberships and the list of communities; sees no community's data."""
        ...

    def community(self, community_id: str) -> AbstractAsyncContextManager[Transaction]:
        """A transaction inside one community; sees no other's data. Raises NotFound."""
        ...

    async def is_ready(self) -> bool:
        """Whether the database answers now."""
        ...
