"""The use cases on what is outside: every service is made here, once."""

from dataclasses import dataclass
from typing import Protocol

from digital_twin.services import backtests, fleet_document, imports, models, simulations
from digital_twin.services.access import Access
from digital_twin.services.accounts import AccountService, RegistrationPolicy
from digital_twin.services.active_schedules import ActiveScheduleService
from digital_twin.services.api_keys import ApiKeyService
from digital_twin.services.backtests import BacktestService
from digital_twin.services.communities import CommunityService
from digital_twin.services.events import EventService
from digital_twin.services.feeds import FeedService
from digital_twin.services.fleet_plans import FleetPlanService
from digital_twin.services.fleet_schedules import FleetScheduleService
from digital_twin.services.forecast_accuracy import AccuracyService
from digital_twin.services.forecast_care import ForecastCareService
from digital_twin.services.forecasts import ForecastService
from digital_twin.services.hindsight import HindsightService
from digital_twin.services.imports import ImportService
from digital_twin.services.ingest import IngestService
from digital_twin.services.issued_forecasts import ForecastIssuer
from digital_twin.services.keeping import KeepingService
from digital_twin.services.kept_plans import KeptPlanService
from digital_twin.services.kpis import KpiService
from digital_twin.services.lessons import Teacher
from digital_twin.services.members import MemberService
from digital_twin.services.memberships import MembershipService
from digital_twin.services.meters import MeterService
from digital_twin.services.models import ModelService
from digital_twin.services.patterns import PatternService
from digital_twin.services.ports import (
    Clock,
    ComputePool,
    EventFeed,
    ParallelMap,
    PasswordHasher,
    RateLimiter,
    Store,
    TokenSigner,
)
from digital_twin.services.predictions import PredictionService
from digital_twin.services.quality import QualityService
from digital_twin.services.readings import ReadingService
from digital_twin.services.runs import RunService, RunWork
from digital_twin.services.schedules import ScheduleService
from digital_twin.services.sessions import SessionService
from digital_twin.services.simulations import SimulationService
from digital_twin.services.states import StateService
from digital_twin.services.tariffs import TariffService
from digital_twin.services.topics import TopicService
from digital_twin.services.trade_offs import TradeOffService
from digital_twin.settings import Settings


class Computing(ComputePool, ParallelMap, Protocol):
    """Warm processes, asked for one result or for many."""


@dataclass(frozen=True, slots=True)
class Adapters:
    """The outside, as the use cases see it."""

    store: Store
    clock: Clock
    pool: Computing
    feed: EventFeed
    hasher: PasswordHasher
    signer: TokenSigner
    limiter: RateLimiter


@dataclass(frozen=True, slots=True)
class Twin:
    """The wired application: what the faces may use."""

    settings: Settings
    store: Store
    clock: Clock
    limiter: RateLimiter
    access: Access
    accounts: AccountService
    sessions: SessionService
    api_keys: ApiKeyService
    memberships: MembershipService
    communities: CommunityService
    members: MemberService
    keeping: KeepingService
    readings: ReadingService
    feeds: FeedService
    quality: QualityService
    imports: ImportService
    states: StateService
    predictions: PredictionService
    hindsight: HindsightService
    meters: MeterService
    forecasts: ForecastService
    models: ModelService
    patterns: PatternService
    forecast_care: ForecastCareService
    accuracy: AccuracyService
    kpis: KpiService
    backtests: BacktestService
    schedules: ScheduleService
    fleet_schedules: FleetScheduleService
    fleet_plans: FleetPlanService
    simulations: SimulationService
    active_schedules: ActiveScheduleService
    kept_plans: KeptPlanService
    trade_offs: TradeOffService
    tariffs: TariffService
    runs: RunService
    events: EventService
    topics: TopicService
    ingest: IngestService


def wire(settings: Settings, adapters: Adapters) -> Twin:
    """The use cases on these adapters."""
    store, clock, pool = adapters.store, adapters.clock, adapters.pool
    hasher, limiter = adapters.hasher, adapters.limiter
    access = Access(store, clock)
    policy = RegistrationPolicy(settings.registration_policy.value, settings.registrations_per_hour)
    states = StateService(store, clock, pool)
    forecasts = ForecastService(store, clock, pool)
    runs = RunService(store, clock, adapters.feed)
    trained = ModelService(store, clock, runs, forecasts)
    issuer, teacher = ForecastIssuer(store, forecasts), Teacher(store, clock, pool, trained)
    plan_timeout_s = 60 * settings.optimization_timeout_minutes
    schedules = ScheduleService(store, clock, pool, forecasts, timeout_s=plan_timeout_s)
    return Twin(
        settings=settings,
        store=store,
        clock=clock,
        limiter=limiter,
        access=access,
        accounts=AccountService(store, clock, hasher, limiter, policy=policy),
        sessions=SessionService(
            store, clock, hasher, adapters.signer, limiter, attempts=settings.login_attempts_per_5_minutes
        ),
        api_keys=ApiKeyService(store, clock, access),
        memberships=MembershipService(store),
        communities=CommunityService(store, max_prosumers=settings.max_prosumers_per_community),
        members=MemberService(store),
        keeping=KeepingService(store, clock),
        readings=ReadingService(store, clock),
        feeds=FeedService(store, clock),
        quality=QualityService(store, clock),
        states=states,
        predictions=PredictionService(states, clock, pool),
        hindsight=HindsightService(states, store, clock, pool),
        meters=MeterService(store, states, clock, pool),
        forecasts=forecasts,
        models=trained,
        patterns=PatternService(store, clock, pool),
        forecast_care=ForecastCareService(
            store, clock, teacher=teacher, issuer=issuer, models=trained, retrains=settings.retrain_forecasts
        ),
        accuracy=AccuracyService(store, clock),
        kpis=KpiService(store, clock, pool, timeout_s=plan_timeout_s),
        backtests=BacktestService(store, clock, runs, trained),
        schedules=schedules,
        active_schedules=ActiveScheduleService(store, clock, access),
        kept_plans=KeptPlanService(store, pool, timeout_s=plan_timeout_s),
        trade_offs=TradeOffService(store, clock, pool, schedules, timeout_s=plan_timeout_s),
        fleet_schedules=FleetScheduleService(store, clock, pool, forecasts, runs, timeout_s=plan_timeout_s),
        fleet_plans=FleetPlanService(store),
        tariffs=TariffService(store, clock, pool, forecasts, timeout_s=plan_timeout_s),
        simulations=SimulationService(store, clock, runs),
        runs=runs,
        imports=ImportService(store, clock, runs),
        events=EventService(store, access, adapters.feed),
        topics=TopicService(store, clock),
        ingest=IngestService(store, clock),
    )


def run_work(twin: Twin) -> dict[str, RunWork]:
    """Who carries out the Runs of each kind."""
    return {
        backtests.KIND: twin.backtests,
        fleet_document.KIND: twin.fleet_schedules,
        imports.KIND: twin.imports,
        models.KIND: twin.models,
        simulations.KIND: twin.simulations,
    }
