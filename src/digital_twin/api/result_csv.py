"""A plan as CSV: one row for each interval, ready for a controller."""

import csv
import io
from datetime import timedelta
from typing import Any

from digital_twin.api.schemas.model import parse_instant
from digital_twin.services.provenance import instant_text

CSV = "text/csv"


def result_csv(document: dict[str, Any]) -> str:
    """Start and end of each interval, then every series of the result by name, those of devices last."""
    start, minutes = parse_instant(document["start"]), document["resolution_minutes"]
    columns = _columns(document)
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["start", "end", *columns])
    for step, values in enumerate(zip(*columns.values(), strict=True)):
        edges = [start + timedelta(minutes=minutes * number) for number in (step, step + 1)]
        rows.writerow([*map(instant_text, edges), *("" if value is None else value for value in values)])
    return text.getvalue()


def _columns(document: dict[str, Any]) -> dict[str, list[Any]]:
    steps = len(document["import_price_per_kwh"])
    found = {name: values for name, values in document.items() if isinstance(values, list) and len(values) == steps}
    columns = {name: values for name, values in sorted(found.items()) if not values or not isinstance(values[0], dict)}
    for device in document.get("devices") or []:
        for name, values in device.items():
            if isinstance(values, list):
                columns[f"{device['device_id']}.{name}"] = values
    return columns
