"""The table of scenarios is legible in a terminal of 80 columns."""

import io
from typing import Any

from rich.console import Console

from digital_twin.cli.output import scenarios_table

NAMES = ("Half as much PV again", "Twice the storage", "Import prices a quarter higher")
MEANS = {
    "cost": 13_800, "emissions_kg": 28_476, "self_consumption": 0.49, "self_sufficiency": 0.73, "peak_import_kw": 192,
}  # fmt: skip


def scenario(name: str, **given: Any) -> dict[str, Any]:
    return {
        "scenario_id": "x",
        "name": name,
        "simulation_duration_days": 365,
        "runs": 20,
        "kpis": {kpi: {"mean": mean} for kpi, mean in MEANS.items()},
        "comparison": {"cost_difference": {"mean": -22_451.0, "low": -23_024.0, "high": -21_879.0}},
        **given,
    }


def test_every_figure_and_every_word_of_a_name_stands_whole() -> None:
    invested = scenario(NAMES[0], economics={"net_present_value": {"mean": -328_949.0}})
    shown = io.StringIO()
    result = {"scenarios": [invested, *map(scenario, NAMES[1:])]}
    Console(file=shown, width=80).print(scenarios_table(result))
    lines = shown.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]
    assert cells[0] == ["cost", "13,800", "13,800", "13,800"]
    assert cells[2] == ["self-consumed %", "49", "49", "49"]
    assert [row[1] for row in cells[5:8]] == ["-22,451", "-23,024", "-21,879"]
    assert cells[-1] == ["NPV", "-328,949", "-", "-"]
    head = " ".join(line for line in lines if line.startswith("┃"))
    assert all(word in head for name in NAMES for word in name.split())
