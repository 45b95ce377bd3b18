"""The meters that the twin misses or mistrusts, as a table."""

from datetime import tzinfo

import pandas as pd

from digital_twin.dashboard.clock import local_text, parsed
from digital_twin.dashboard.frames import Document
from digital_twin.dashboard.wording import is_known, name_of, quantity

COLUMNS = ("Meter", "Reads", "Is", "Since", "Would make surer by")


def meters_to_look_at(meters: Document, zone: tzinfo) -> pd.DataFrame:
    """Those of a page that are not simply reporting, the one whose readings would help most first."""
    rows = [
        (
            meter["member_id"],
            name_of(meter["series"]),
            meter["condition"],
            "over a week" if meter["since"] is None else local_text(parsed(meter["since"]), zone),
            quantity(fall, "kW") if is_known(fall := meter["sd_fall_kw"]) and fall > 0 else "",
        )
        for meter in meters["meters"]
        if meter["condition"] != "reporting"
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))
