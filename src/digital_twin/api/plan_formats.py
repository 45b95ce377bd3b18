"""Members' plans as tables: CSV, Arrow and Parquet, a row for each member and interval."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from digital_twin.api.reading_formats import ARROW, CSV, PARQUET, written_tables
from digital_twin.services.ports import PLAN_COLUMNS, MemberPlan, StoredResult

PLAN_TABLES = (CSV, ARROW, PARQUET)
SCHEMA: Any = pa.schema(
    [
        pa.field("member_id", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("start", pa.timestamp("us", tz="UTC"), nullable=False),
        *(pa.field(name, pa.float32(), nullable=False) for name in PLAN_COLUMNS),
    ]
)

Span = tuple[StoredResult, list[MemberPlan]]


async def written_plans(spans: AsyncIterator[Span], media_type: str) -> AsyncIterator[bytes]:
    """The bytes of the table, those of each span as soon as it is read."""
    async for part in written_tables((table_of(*span) async for span in spans), SCHEMA, media_type):
        yield part


def table_of(result: StoredResult, plans: Sequence[MemberPlan]) -> Any:
    """A table of some members, interval after interval of each."""
    steps = plans[0].powers.shape[1] if plans else 0
    begins = np.datetime64(datetime.fromisoformat(result.document["start"]).replace(tzinfo=None), "us")
    starts = begins + np.arange(steps) * np.timedelta64(result.document["resolution_minutes"], "m")
    member = pa.DictionaryArray.from_arrays(
        pa.array(np.repeat(np.arange(len(plans), dtype=np.int32), steps)),
        pa.array([one.member_id for one in plans], pa.string()),
    )
    start = pa.array(np.tile(starts, len(plans))).cast(pa.timestamp("us", tz="UTC"))
    powers = np.concatenate([one.powers for one in plans], axis=1) if plans else np.empty((len(PLAN_COLUMNS), 0))
    columns = [pa.array(values.astype(np.float32)) for values in powers]
    return pa.Table.from_arrays([member, start, *columns], schema=SCHEMA)
