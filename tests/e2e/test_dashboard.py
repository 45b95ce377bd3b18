"""The dashboard in a real browser, before a real server: every page, for who may plan and for who may only look."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from tests.e2e.serving import PASSWORD, START_TIMEOUT_S, Installation, free_port

from digital_twin.client import TwinClient
from digital_twin.domain.readings import SeriesKey, SeriesValues
from digital_twin.domain.time import TimeGrid, floor_to_step

CHROMIUM = Path("/usr/bin/chromium")
COMMUNITY = "bright_street"
PATIENCE_MS = 90_000
PAGES = {"Now": 1, "Forecast": 3, "Model lab": 4, "Patterns": 1, "Dispatch": 4, "Tariff": 4, "Scenarios": 6}
"""Page -> how many charts it has at least."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        message = f"{CHROMIUM} is not installed"
        if os.environ.get("REQUIRE_SERVERS") == "1":
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def community(installation: Installation) -> None:
    """A street with thirty days of readings and a result of every kind; its operator and a viewer."""
    with TwinClient(installation.url) as client:
        client.login("root_admin", PASSWORD)
        for name, role in (("oda", "operator"), ("vic", "viewer"), ("newcomer", "viewer")):
            client.register(name, f"{name}@example.org", PASSWORD, role)
        client.login("oda", PASSWORD)
        client.create_community(
            {
                "community_id": COMMUNITY, "name": "Bright Street", "num_prosumers": 12, "total_pv_capacity_kw": 60.0,
                "total_storage_capacity_kwh": 80.0, "max_storage_power_kw": 30.0, "grid_import_limit_kw": 60.0,
                "grid_export_limit_kw": 40.0, "incentive_budget_daily": 5.0, "timezone": "Europe/Vienna",
            }
        )  # fmt: skip
        client.put_membership(COMMUNITY, "vic", "viewer")
        client.record(COMMUNITY, _readings(), assumed_delay_minutes=1)
        client.dispatch(COMMUNITY, horizon_hours=24)
        client.design_tariff(COMMUNITY, horizon_hours=24)
        scenarios = [
            {"scenario_id": "today", "name": "As it is today"},
            {"scenario_id": "more", "name": "More PV", "parameter_changes": {"total_pv_capacity_kw": 90}},
        ]
        run = client.run_multiple(COMMUNITY, scenarios, simulation_duration_days=5, monte_carlo_runs=4, seed=1)
        client.wait_for(run)
        client.wait_for(client.backtest(COMMUNITY, ["ridge"], variables=["load_kw"], days=2))


def _readings() -> list[SeriesValues]:
    end = floor_to_step(datetime.now(UTC), 60)
    grid = TimeGrid.spanning(end - timedelta(days=30), end, 60)
    hour = np.array([(grid.start + step * timedelta(hours=1)).hour for step in range(grid.steps)])
    load = 6 + 5 * np.exp(-(((hour - 18) / 3) ** 2))
    pv = np.clip(25 * np.sin((hour - 6) / 11 * np.pi), 0, None) * ((hour > 6) & (hour < 17))
    return [SeriesValues(SeriesKey(name), grid, values) for name, values in (("load_kw", load), ("pv_kw", pv))]


@pytest.fixture(scope="module")
def dashboard(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its address, as a process of its own."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = ["-m", "digital_twin.cli.main", "dashboard", "--port", str(port), "--url", installation.url]
    log = tmp_path_factory.mktemp("dashboard") / "log"
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, *command], stdout=file, stderr=file)
    deadline = time.monotonic() + START_TIMEOUT_S
    while not _answers(url):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, "the dashboard does not become ready"
        time.sleep(0.1)
    yield url
    process.terminate()
    process.wait(30)
    assert "Traceback" not in log.read_text()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/_stcore/health").status_code == 200
    except httpx.TransportError:
        return False


@dataclass(slots=True)
class Watched:
    """A page of the browser and everything that it complained about or asked elsewhere."""

    page: Page
    complaints: list[str] = field(default_factory=list[str])


@contextmanager
def watched(browser: Browser, dashboard: str, picture: Path, *, width: int = 1280) -> Iterator[Watched]:
    """A fresh browser profile; what it showed is kept as a picture when the block fails."""
    context = browser.new_context(viewport={"width": width, "height": 1000})
    seen = Watched(context.new_page())
    seen.page.on("console", lambda one: seen.complaints.append(one.text) if one.type in ("error", "warning") else None)
    seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    context.on(
        "request",
        lambda one: None if one.url.startswith((dashboard, "data:", "blob:")) else seen.complaints.append(one.url),
    )
    try:
        yield seen
    except BaseException:
        seen.page.screenshot(path=picture, full_page=True)
        raise
    finally:
        context.close()


def log_in(page: Page, dashboard: str, username: str, password: str = PASSWORD) -> None:
    page.goto(dashboard, wait_until="domcontentloaded")
    page.get_by_label("User name").fill(username)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def settled(page: Page, title: str) -> None:
    """Wait for a page of this title whose script has come to its end."""
    page.get_by_role("heading", name=title, exact=True, level=1).wait_for(timeout=PATIENCE_MS)
    page.locator('[data-test-script-state="notRunning"]').wait_for(timeout=PATIENCE_MS)


@pytest.mark.parametrize(("username", "width"), [("oda", 1280), ("vic", 390)])
@pytest.mark.usefixtures("community")
def test_every_page_shows_its_pictures_with_words_and_numbers(
    chromium: Browser, dashboard: str, username: str, width: int, tmp_path: Path
) -> None:
    with watched(chromium, dashboard, tmp_path / "failed.png", width=width) as seen:
        page = seen.page
        log_in(page, dashboard, username)
        for title, charts in PAGES.items():
            if title != "Now":
                opener = page.get_by_test_id("stExpandSidebarButton")
                if opener.is_visible():  # a small screen hides the way to other pages behind it
                    opener.click()
                page.get_by_role("link", name=title).click()
            settled(page, title)
            drawn = page.locator('[data-testid="stVegaLiteChart"] svg')
            drawn.nth(charts - 1).wait_for(state="attached", timeout=PATIENCE_MS)
            assert page.get_by_test_id("stException").count() == 0
            names = page.locator('[data-testid="stVegaLiteChart"]').evaluate_all("all => all.map(one => one.ariaLabel)")
            assert all(names), f"a chart of {title} has no alternative text"
            assert page.get_by_text("Show the numbers").count() >= 1
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert seen.complaints == []


@pytest.mark.usefixtures("community")
def test_who_may_only_look_sees_plans_but_no_button_to_make_one(
    chromium: Browser, dashboard: str, tmp_path: Path
) -> None:
    for username, buttons in (("oda", 1), ("vic", 0)):
        with watched(chromium, dashboard, tmp_path / "failed.png") as seen:
            log_in(seen.page, dashboard, username)
            settled(seen.page, "Now")
            seen.page.get_by_role("link", name="Dispatch").click()
            settled(seen.page, "Dispatch")
            assert seen.page.get_by_role("button", name="Make a plan").count() == buttons
            assert seen.page.get_by_text("You may look at this community").count() == 1 - buttons


@pytest.mark.usefixtures("community")
def test_an_operator_makes_a_plan_and_a_simulation_with_the_forms(
    chromium: Browser, dashboard: str, installation: Installation, tmp_path: Path
) -> None:
    with TwinClient(installation.url) as client, watched(chromium, dashboard, tmp_path / "failed.png") as seen:
        client.login("oda", PASSWORD)
        page = seen.page
        log_in(page, dashboard, "oda")
        settled(page, "Now")
        page.get_by_role("link", name="Dispatch").click()
        settled(page, "Dispatch")
        before = len(list(client.results(COMMUNITY)))
        page.get_by_role("button", name="Make a plan").click()
        page.get_by_test_id("stSpinner").wait_for(state="detached", timeout=PATIENCE_MS)
        settled(page, "Dispatch")
        page.wait_for_function("() => document.querySelectorAll('[data-testid=stVegaLiteChart] svg').length >= 4")
        assert len(list(client.results(COMMUNITY))) == before + 1
        page.get_by_role("link", name="Scenarios").click()
        settled(page, "Scenarios")
        runs = len(list(client.runs(COMMUNITY)))
        with installation.asleep():  # a simulation may be over before a browser has drawn how to cancel it
            page.get_by_role("button", name="Simulate").click()
            cancel = page.get_by_role("button", name="Cancel")
            cancel.wait_for(timeout=PATIENCE_MS)
            cancel.click()
            cancel.wait_for(state="detached", timeout=PATIENCE_MS)
        newest = next(client.runs(COMMUNITY))
        assert len(list(client.runs(COMMUNITY))) == runs + 1
        assert newest["state"] == "cancelled"
        assert seen.complaints == []


@pytest.mark.usefixtures("community")
def test_an_operator_backtests_models_and_stops_a_training_in_the_model_lab(
    chromium: Browser, dashboard: str, installation: Installation, tmp_path: Path
) -> None:
    with TwinClient(installation.url) as client, watched(chromium, dashboard, tmp_path / "failed.png") as seen:
        client.login("oda", PASSWORD)
        page = seen.page
        log_in(page, dashboard, "oda")
        settled(page, "Now")
        page.get_by_role("link", name="Model lab").click()
        settled(page, "Model lab")
        page.get_by_role("combobox", name="Days").click()
        page.get_by_role("option", name="7", exact=True).click()
        progress = page.get_by_test_id("stProgress")
        with installation.asleep():
            page.get_by_role("button", name="Backtest", exact=True).click()
            progress.wait_for(timeout=PATIENCE_MS)
        progress.wait_for(state="detached", timeout=PATIENCE_MS)
        newest = next(client.runs(COMMUNITY))
        assert (newest["kind"], newest["state"]) == ("backtest", "succeeded")
        result = client.backtest_result(COMMUNITY, newest["run_id"])
        assert (result["days"], list(result["variables"])) == (7, ["load_kw"])
        with installation.asleep():
            page.get_by_role("button", name="Train now").click()
            cancel = page.get_by_role("button", name="Cancel")
            cancel.wait_for(timeout=PATIENCE_MS)
            cancel.click()
            cancel.wait_for(state="detached", timeout=PATIENCE_MS)
        newest = next(client.runs(COMMUNITY))
        assert (newest["kind"], newest["state"]) == ("training", "cancelled")
        assert seen.complaints == []


@pytest.mark.usefixtures("community")
def test_the_browser_holds_no_token_and_is_out_after_a_log_out(
    chromium: Browser, dashboard: str, tmp_path: Path
) -> None:
    with watched(chromium, dashboard, tmp_path / "failed.png") as seen:
        page = seen.page
        log_in(page, dashboard, "oda", "not the password")
        page.get_by_text("do not belong together").wait_for()
        log_in(page, dashboard, "oda")
        settled(page, "Now")
        assert "digital_twin_session" not in page.evaluate("document.cookie")
        kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
        assert "eyJ" not in kept
        (cookie,) = (one for one in page.context.cookies() if one["name"] == "digital_twin_session")
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
        page.get_by_role("button", name="Log out").click()
        page.get_by_text("You are logged out.").wait_for()
        page.goto(dashboard)
        assert page.get_by_label("Password").is_visible()


@pytest.mark.usefixtures("community")
def test_who_is_in_no_community_is_told_what_to_do(chromium: Browser, dashboard: str, tmp_path: Path) -> None:
    with watched(chromium, dashboard, tmp_path / "failed.png") as seen:
        log_in(seen.page, dashboard, "newcomer")
        settled(seen.page, "Now")
        seen.page.get_by_text("You are in no community yet.").wait_for()
        assert seen.complaints == []
