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
from digital_twin.services.ports.running import Clock, ComputePool, PasswordHasher, RateLimiter, TokenSigner
from digital_twin.services.ports.store import Replay, Replays, Store, Transaction

__all__ = [
    "Account",
    "Accounts",
    "ApiKey",
    "Clock",
    "Communities",
    "CommunitySum",
    "ComputePool",
    "Invite",
    "Members",
    "Membership",
    "PasswordHasher",
    "RateLimiter",
    "Readings",
    "Replay",
    "Replays",
    "Results",
    "Session",
    "Store",
    "StoredCommunity",
    "StoredResult",
    "TokenSigner",
    "Transaction",
]
