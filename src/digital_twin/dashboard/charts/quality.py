"""The meters of a community that are silent or hard to believe, as a table."""

from datetime import tzinfo

import pandas as pd

from digital_twin.dashboard.clock import local_text, parsed
from digital_twin.dashboard.findings.quality import reasons_sentence
from digital_twin.dashboard.frames import Document
from digital_twin.dashboard.wording import name_of, percent

COLUMNS = ("Meter", "Reads", "Missing", "Suspect", "Why", "Newest reading")


def troubled_meters(meters: Document, zone: tzinfo) -> pd.DataFrame:
    """Those of a page with missing or suspect readings, the worst first."""
    rows = [
        (
            " ".join(name for name in (meter["member_id"], meter["asset_id"]) if name),
            name_of(meter["name"]),
            percent(meter["missing"] / meter["expected"]),
            percent(meter["suspect"] / meter["expected"]),
            reasons_sentence(meter),
            "none" if meter["last_reading_end"] is None else local_text(parsed(meter["last_reading_end"]), zone),
        )
        for meter in meters["page"]
        if meter["missing"] or meter["suspect"]
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))
