"""What the use cases need from the outside; adapters and the in-memory fakes of `testing` provide it."""

from digital_twin.services.ports.accounts import Account, Accounts, ApiKey, Invite, Membership, Session
from digital_twin.services.ports.communities import (
    Communities,
    CommunitySum,
    Members,
    Readings,
    Results,
    StoredCommunity,
    StoredResult,
)
from digital_twin.services.ports.events import Event, EventFeed, Events, Listening
from digital_twin.services.ports.models import KEPT_VERSIONS, TrainedModels, TrainedVersion
from digital_twin.services.ports.running import (
    Clock,
    ComputePool,
    ParallelMap,
    PasswordHasher,
    RateLimiter,
    TokenSigner,
)
from digital_twin.services.ports.runs import MAX_FAILURES, Run, RunQueue, Runs, RunState
from digital_twin.services.ports.states import (
    Checkpoint,
    KnownState,
    Snapshot,
    StateDue,
    States,
    StateTrack,
    StateUpdate,
)
from digital_twin.services.ports.store import Replay, Replays, Store, Transaction

__all__ = [
    "KEPT_VERSIONS",
    "MAX_FAILURES",
    "Account",
    "Accounts",
    "ApiKey",
    "Checkpoint",
    "Clock",
    "Communities",
    "CommunitySum",
    "ComputePool",
    "Event",
    "EventFeed",
    "Events",
    "Invite",
    "KnownState",
    "Listening",
    "Members",
    "Membership",
    "ParallelMap",
    "PasswordHasher",
    "RateLimiter",
    "Readings",
    "Replay",
    "Replays",
    "Results",
    "Run",
    "RunQueue",
    "RunState",
    "Runs",
    "Session",
    "Snapshot",
    "StateDue",
    "StateTrack",
    "StateUpdate",
    "States",
    "Store",
    "StoredCommunity",
    "StoredResult",
    "TokenSigner",
    "TrainedModels",
    "TrainedVersion",
    "Transaction",
]
