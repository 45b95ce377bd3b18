"""The only place that knows everything: settings -> adapters -> services."""

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from digital_twin.adapters.clock import SystemClock
from digital_twin.adapters.compute import WarmPool
from digital_twin.adapters.passwords import BcryptHasher
from digital_twin.adapters.postgres.database import migrate, open_pool
from digital_twin.adapters.postgres.embedded import EmbeddedPostgres
from digital_twin.adapters.postgres.store import PostgresStore
from digital_twin.adapters.rate_limits import InProcessLimiter
from digital_twin.adapters.tokens import JwtSigner
from digital_twin.services.access import Access
from digital_twin.services.accounts import AccountService
from digital_twin.services.communities import CommunityService
from digital_twin.services.forecasts import ForecastService
from digital_twin.services.members import MemberService
from digital_twin.services.ports import Clock, ComputePool, Store
from digital_twin.services.readings import ReadingService
from digital_twin.services.schedules import ScheduleService
from digital_twin.settings import Settings

PRELOADED = ("digital_twin.services.computations",)


@dataclass(frozen=True, slots=True)
class Twin:
    """The wired application: what the faces may use."""

    settings: Settings
    store: Store
    clock: Clock
    access: Access
    accounts: AccountService
    communities: CommunityService
    members: MemberService
    readings: ReadingService
    forecasts: ForecastService
    schedules: ScheduleService
