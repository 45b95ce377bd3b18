"""What the pages for people say: commands that exist, calls that the client has, figures that are filled in."""

import ast
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel
from typer.core import TyperGroup

from digital_twin.api.schemas.communities import CommunityBody
from digital_twin.api.schemas.forecasts import ForecastBody, TrainingBody
from digital_twin.api.schemas.schedules import DispatchBody
from digital_twin.api.schemas.simulations import RunMultipleBody, RunScenarioBody, ScenarioBody
from digital_twin.api.schemas.states import StateQuery
from digital_twin.api.schemas.tariffs import TariffBody
from digital_twin.cli.main import app
from digital_twin.client import TwinClient

ROOT = Path(__file__).parents[1]
TUTORIAL = ROOT / "docs" / "tutorial" / "README.md"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FIELDS: dict[str, type[BaseModel]] = {
    "forecast": ForecastBody,
    "train": TrainingBody,
    "dispatch": DispatchBody,
    "design_tariff": TariffBody,
    "run_scenario": RunScenarioBody,
    "run_multiple": RunMultipleBody,
    "state": StateQuery,
}
LARGEST_PICTURE_BYTES = 200_000


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[list[str]]:
    """Each call of the program in the page's shell blocks, in words."""
    lines = [line for block in blocks(page, "sh") for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("digital-twin ")]


def calls(page: Path) -> list[ast.Call]:
    """Each call of a method of `twin`."""
    trees = [ast.parse(block) for block in blocks(page, "python")]
    return [
        node
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name) and node.func.value.id == "twin"
    ]  # fmt: skip


def complaints(words: list[str]) -> list[str]:
    """What the program would not understand: commands and options that it does not have, or misses."""
    command: Any = typer.main.get_command(app)
    rest = list(words)
    while isinstance(command, TyperGroup):
        name = rest.pop(0)
        if name not in command.commands:
            return [f"there is no command {name}"]
        command = command.commands[name]
    options = {one: parameter for parameter in command.params for one in (*parameter.opts, *parameter.secondary_opts)}
    given = [word.partition("=")[0] for word in rest if word.startswith("--")]
    missing = [
        parameter.opts[0]
        for parameter in command.params
        if parameter.required and parameter.param_type_name == "option" and not set(parameter.opts) & set(given)
    ]
    unknown = [f"there is no option {one}" for one in given if one not in options]
    return unknown + [f"{one} is missing" for one in missing]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_is_understood(page: Path) -> None:
    for words in commands(page):
        assert not complaints(words), shlex.join(words)


def test_a_command_or_an_option_that_does_not_exist_is_noticed() -> None:
    assert complaints(["import", "meters.csv", "--community", "a", "--no-such-option"])
    assert complaints(["import", "meters.csv"])
    assert complaints(["no-such-command"])
    assert not complaints(["admin", "create", "--username", "ada", "--email", "ada@example.org"])


def test_every_call_of_the_tutorial_is_one_of_the_clients_with_fields_that_the_api_takes() -> None:
    found = calls(TUTORIAL)
    assert len(found) > 10
    for call in found:
        assert isinstance(call.func, ast.Attribute)
        name = call.func.attr
        assert callable(getattr(TwinClient, name)), f"the client has no {name}"
        given = {keyword.arg for keyword in call.keywords}
        if name in FIELDS:
            assert given <= set(FIELDS[name].model_fields), f"{name} takes no {given - set(FIELDS[name].model_fields)}"


def test_the_communities_and_scenarios_of_the_tutorial_are_accepted() -> None:
    created = [_literal(call) for call in calls(TUTORIAL) if call.func.attr == "create_community"]  # type: ignore[attr-defined]
    scenarios = [
        ast.literal_eval(call.args[1])
        for call in calls(TUTORIAL)
        if call.func.attr == "run_multiple"  # type: ignore[attr-defined]
    ]
    assert created
    assert scenarios
    for fields in created:
        CommunityBody.model_validate(fields)
    for one in (scenario for several in scenarios for scenario in several):
        ScenarioBody.model_validate(one).to_scenario()


def _literal(call: ast.Call) -> Any:
    return ast.literal_eval(call.args[0])


def test_every_section_of_the_tutorial_is_filled_in() -> None:
    text = TUTORIAL.read_text()
    begun = re.findall(r"<!-- (.+): begin -->", text)
    assert len(begun) == len(set(begun))
    assert begun
    for name in begun:
        section = re.search(rf"<!-- {name}: begin -->\n(.*?)<!-- {name}: end -->", text, re.DOTALL)
        assert section is not None, f"{name} does not end"
        assert len(section[1]) > 50, f"{name} is empty; ./scripts/tutorial fills it in"


def test_every_picture_of_the_tutorial_is_there_small_and_described() -> None:
    shown = re.findall(r"!\[(.*?)\]\((figures/.+?)\)", TUTORIAL.read_text())
    files = {f"figures/{path.name}" for path in (TUTORIAL.parent / "figures").iterdir()}
    assert {path for _, path in shown} == files
    assert all(description for description, _ in shown)
    assert all((TUTORIAL.parent / path).stat().st_size < LARGEST_PICTURE_BYTES for path in files)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_of_ours_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
