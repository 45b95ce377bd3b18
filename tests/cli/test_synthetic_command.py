"""`digital-twin synthetic`: files that hold together and import again, and homes that become members."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.cli.command_line import CommandLine
from tests.e2e.serving import Installation

from digital_twin.cli.synthetic_files import Folder
from digital_twin.domain.time import TimeGrid
from digital_twin.simulation.place import Place
from digital_twin.simulation.synthetic import Recipe, Shares, SyntheticCommunity

HOMES, HOURS = 4, 8_784
YEAR = ("--year", "2024", "--resolution", "60", "--seed", "3")
EVERYTHING = ("--pv", "1", "--battery", "1", "--ev", "1", "--heat-pump", "1")
EIGHT_FIELDS: dict[str, Any] = {
    "num_prosumers": 4,
    "total_pv_capacity_kw": 40.0,
    "total_storage_capacity_kwh": 40.0,
    "max_storage_power_kw": 20.0,
    "grid_import_limit_kw": 100.0,
    "grid_export_limit_kw": 100.0,
    "incentive_budget_daily": 10.0,
    "latitude": -33.9,
    "longitude": 151.2,
    "timezone": "Australia/Sydney",
}


@pytest.fixture(scope="module")
def line(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The administrator's terminal."""
    line = CommandLine(installation, tmp_path_factory.mktemp("config"))
    line.log_in("root_admin")
    return line


def made_as_by_hand(place: Place, shares: Shares) -> SyntheticCommunity:
    grid = TimeGrid(datetime(2024, 1, 1, tzinfo=UTC), HOURS, 60)
    return SyntheticCommunity(Recipe(HOMES, place, grid, 3, shares))


def counted(text: str, what: str) -> int:
    row = next(line for line in text.splitlines() if what in line)
    return int(re.sub(r"\D", "", row.split("│")[2]))


def test_the_files_hold_the_homes_of_the_recipe(line: CommandLine, tmp_path: Path) -> None:
    out = tmp_path / "new" / "village"
    told = line.output("synthetic", "--homes", str(HOMES), "--out", str(out), *YEAR, "--pv", "0.5", "--ev", "0.5")
    made = made_as_by_hand(Place(48.2, 16.4, "Europe/Vienna"), Shares(pv=0.5, vehicle=0.5))
    assert [path.name for path in sorted(out.iterdir())] == [
        "assets.parquet", "devices.parquet", "members.parquet", "readings.parquet", "sessions.parquet",
        "weather.parquet",
    ]  # fmt: skip
    assert all(path.name in told for path in out.iterdir())
    readings = pd.read_parquet(out / "readings.parquet")
    assert str(readings.time.dtype) == "datetime64[ms, UTC]"
    for series in made.series():
        mine = readings[readings.member_id == series.home.member_id]
        assert mine.time.is_monotonic_increasing
        np.testing.assert_allclose(mine.load_kw, series.load_kw, atol=0.00051)
        assert mine.pv_kw.isna().all() == (series.home.roof is None)
        assert mine.storage_soc_kwh.isna().all() == (series.home.battery is None)
    assets = pd.read_parquet(out / "assets.parquet")
    assert list(assets.asset_id) == [asset.asset_id for home in made.homes for asset in home.assets]
    assert len(pd.read_parquet(out / "members.parquet")) == HOMES
    weather = pd.read_parquet(out / "weather.parquet")
    np.testing.assert_allclose(weather.ghi_wm2, made.sky.ghi_wm2, atol=0.00051)


def test_a_community_that_was_not_finished_leaves_no_files(tmp_path: Path) -> None:
    made = made_as_by_hand(Place(48.2, 16.4, "Europe/Vienna"), Shares())

    def stop_half_way() -> None:
        with Folder(tmp_path) as folder:
            folder.write_home(made.recipe.grid, next(made.series()))
            assert (tmp_path / "readings.parquet").exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_half_way()
    assert not list(tmp_path.iterdir())


def test_what_devices_take_and_give_adds_up_to_what_the_meters_say(line: CommandLine, tmp_path: Path) -> None:
    line.output("synthetic", "--homes", "2", "--out", str(tmp_path), *YEAR, *EVERYTHING)
    both = pd.read_parquet(tmp_path / "readings.parquet").merge(
        pd.read_parquet(tmp_path / "devices.parquet"), on=["time", "member_id"], validate="one_to_one"
    )
    assert len(both) == 2 * HOURS
    net_kw = both.load_kw - both.pv_kw + both.charge_kw - both.discharge_kw
    np.testing.assert_allclose(both.net_load_kw, net_kw, atol=0.003)
    assert (both.load_kw >= both.vehicle_kw + both.heat_pump_kw - 0.002).all()
    sessions = pd.read_parquet(tmp_path / "sessions.parquet")
    charged = both.groupby("member_id").vehicle_kw.sum()
    taken = sessions.groupby("member_id").energy_kwh.sum() / 0.9
    np.testing.assert_allclose(charged, taken, rtol=0.01)  # the last session may end after the year


def test_the_readings_import_without_a_flag(installation: Installation, tmp_path: Path) -> None:
    line = CommandLine(installation, tmp_path / "config")  # signed in nowhere
    line.output("synthetic", "--homes", "2", "--out", str(tmp_path), *YEAR, *EVERYTHING)
    told = line.output("import", str(tmp_path / "readings.parquet"), "--community", "none_yet", "--dry-run")
    assert f"{2 * 4 * HOURS:,} readings of 2 members" in " ".join(told.split())


def test_homes_become_members_where_the_community_is_and_only_once(
    line: CommandLine, installation: Installation
) -> None:
    with installation.client("root_admin") as http:
        http.post("/communities", json={**EIGHT_FIELDS, "community_id": "southern"}).raise_for_status()
        first = line.output("synthetic", "--homes", str(HOMES), "--community", "southern", *YEAR, *EVERYTHING)
        again = line.output("synthetic", "--homes", str(HOMES), "--community", "southern", *YEAR, *EVERYTHING)
        assert counted(first, "members added") == HOMES
        assert counted(first, "stored") == HOMES * 4 * HOURS
        assert "members added" not in again
        assert counted(again, "already there") == HOMES * 4 * HOURS
        assets = http.get("/communities/southern/assets").json()["assets"]
        kept = http.get(
            "/communities/southern/readings",
            params={
                "series": "pv_kw",
                "member_id": "home_002",
                "start": "2024-01-10T00:00:00Z",
                "end": "2024-01-11T00:00:00Z",
            },
        ).json()
    made = made_as_by_hand(Place(-33.9, 151.2, "Australia/Sydney"), Shares(1.0, 1.0, 1.0, 1.0))
    assert len(assets) == 4 * HOMES
    expected = next(made.series(1)).pv_kw[9 * 24 : 10 * 24]
    np.testing.assert_allclose(kept["series"][0]["values"], expected, atol=0.00051)


def test_homes_do_not_take_the_place_of_real_members(line: CommandLine, installation: Installation) -> None:
    with installation.client("root_admin") as http:
        http.post("/communities", json={**EIGHT_FIELDS, "community_id": "lived_in"}).raise_for_status()
        body = {"members": [{"member_id": "home_002", "name": "The Grubers"}]}
        http.post("/communities/lived_in/members", json=body).raise_for_status()
        done = line.run("synthetic", "--homes", "3", "--community", "lived_in", *YEAR)
        assert done.returncode == 4
        assert "home_002" in done.stderr
        assert len(http.get("/communities/lived_in/members").json()["members"]) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--out"),
        (("--out", "there", "--community", "here"), "--out"),
        (("--out", "there", "--resolution", "7"), "divide 60"),
        (("--out", "there", "--latitude", "10"), "together"),
        (("--out", "there", "--latitude", "91", "--longitude", "0"), "latitude"),
        (("--out", "there", "--timezone", "Europe/Nowhere"), "Europe/Nowhere"),
        (("--out", "there", "--pv", "1.5"), "--pv"),
    ],
)
def test_what_cannot_be_made_is_2_and_writes_nothing(
    line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = line.run("synthetic", "--homes", "1", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert not list(tmp_path.iterdir())
