"""States and their history as answers."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from digital_twin.api.schemas.model import PLAIN_TRUTH, Answer, Body, Instant, Provenance
from digital_twin.api.schemas.readings import nullable
from digital_twin.macro_twin import ESTIMATED
from digital_twin.services.ports import StateTrack

COVERAGE = "Part of the consumption that the meters reporting the last interval stand for; 1 for a meter of all"
NIS = "Running mean of the normalised innovation squared: about 1 where the errors are as large as sd says"

PARTS = (
    "net_charge_kw: what the storage takes less what it gives, AC side; storage_losses_kw: what conversion takes of "
    "it; unmetered_demand_kw, unmetered_pv_kw, unmetered_storage_soc_kwh: what no believed reading of it shows. "
    "Empty for a state that was kept before they were told"
)


class StateQuery(Body):
    """As of when."""

    model_config = ConfigDict(strict=False, extra="forbid")

    as_of: Instant | None = None


HINDSIGHT = (
    "Tell each interval by all readings of the span, later ones too: nearer to the truth and surer. The span must "
    "begin within what the twin was learned from, up to nine weeks"
)


class HistoryQuery(Body):
    """Which span, and whether what was read later counts."""

    model_config = ConfigDict(strict=False, extra="forbid")

    start: Instant
    end: Instant
    hindsight: Annotated[bool, PLAIN_TRUTH, Field(description=HINDSIGHT)] = False


class Estimate(Answer):
    """What is believed of one quantity, and the standard deviation of its error."""

    mean: float
    sd: float


class StreamConsistency(Answer):
    """How honest the errors of one stream are; each number is a running mean of at most a week."""

    is_lost: bool
    nis: Annotated[float | None, Field(description=NIS)]
    late_truth_nis: float | None = Field(
        description="The same of estimates whose whole truth came later: a community's own series, or all of its meters"
    )
    late_truth_coverage: float | None = Field(description="Part of that truth that lay within the 95 % band")
    late_truth_intervals: int = Field(description="How many intervals of it are known")
    widening: float = Field(description="Factor on sd by which that truth has taught to be less or more sure")


class ConsistencyAnswer(Answer):
    """Whether the errors are as large as sd says: lost where NIS leaves 0.5 to 2 or coverage of late truth 90 to 99 %.

    Judged over a week; an alert tells of it once, and the model is learned anew.
    """

    is_lost: bool
    lost_since: Instant | None
    streams: dict[str, StreamConsistency] = Field(description="By the series that is read")


class StateAnswer(Answer):
    """The state after the last interval that was observed."""

    as_of: Instant
    observed_at: Instant | None = Field(description="End of the last interval with a reading; null before any")
    data_age_s: float | None
    coverage: Annotated[float, Field(description=COVERAGE)]
    nis: Annotated[float | None, Field(description=NIS)]
    states: Annotated[
        dict[str, Estimate],
        Field(description="demand_kw, pv_kw and net_load_kw of the interval, storage_soc_kwh at its start"),
    ]
    parts: Annotated[dict[str, Estimate], Field(default_factory=dict[str, Estimate], description=PARTS)]
    consistency: ConsistencyAnswer | None = Field(
        default=None, description="Null for a state that was kept before it was told"
    )
    provenance: Provenance


class EstimateColumns(Answer):
    """One quantity's estimates; null where there is none."""

    mean: list[float | None]
    sd: list[float | None]


class StateHistoryAnswer(Answer):
    """Estimates of past intervals as they are known today."""

    start: Instant
    resolution_minutes: int
    coverage: Annotated[list[float | None], Field(description=COVERAGE)]
    nis: Annotated[list[float | None], Field(description=NIS)]
    states: dict[str, EstimateColumns]

    @classmethod
    def from_track(cls, track: StateTrack) -> "StateHistoryAnswer":
        states: dict[str, Any] = {
            name: EstimateColumns(mean=nullable(track.mean[:, index]), sd=nullable(track.deviation[:, index]))
            for index, name in enumerate(ESTIMATED)
        }
        return cls(
            start=track.grid.start,
            resolution_minutes=track.grid.step_minutes,
            coverage=nullable(track.coverage),
            nis=nullable(track.nis),
            states=states,
        )
