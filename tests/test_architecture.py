"""The house rules that a machine can check: layers' libraries, settings, addresses, sizes."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from digital_twin.settings import Settings

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "digital_twin"

LIBRARIES = {
    # layer: the third-party libraries that it may import; what is missing here may import none
    "domain": {"numpy", "holidays"},
    "macro_twin": {"numpy", "numba", "llvmlite"},  # which numba is written in, and comes with
    "forecasting": {
        "numpy", "numba", "scipy", "pandas",
        "jax", "equinox", "optax", "lightgbm", "prophet", "sklearn",
    },
    "optimization": {"numpy", "numba", "scipy", "cvxpy", "highspy"},
    "simulation": {"numpy", "numba", "pandas", "pvlib", "scipy"},
    "services": {"numpy", "jsonpath", "orjson"},
    "telemetry": {"prometheus_client", "structlog"},
    "adapters": {
        "numpy", "psycopg", "psycopg_pool", "alembic", "sqlalchemy",
        "bcrypt", "cryptography", "defusedxml", "httpx", "jwt", "limits", "pebble", "redis", "procrastinate",
        "aiomqtt", "paho",
    },
    "settings": {"pydantic", "pydantic_settings"},
    "bootstrap": {"pydantic"},
    "client": {"httpx", "pyarrow"},
    "client_connection": {"httpx"},
    "client_tables": {"numpy", "pyarrow"},
    "api": {"fastapi", "starlette", "pydantic", "orjson", "structlog", "numpy", "pyarrow"},
    "cli": {"typer", "rich", "uvicorn", "numpy", "pandas", "pyarrow"},
    "dashboard": {"streamlit", "starlette", "altair", "numpy", "pandas"},
    "testing": {"numpy"},
}  # fmt: skip

FORBIDDEN_NAMES = ("utils", "helpers", "manager", "engine", "base", "common", "misc")
LONGEST_MODULE, LONGEST_FUNCTION = 400, 60
ADDRESS = re.compile(r"--(extra-)?index-url|(pypi|pythonhosted|npmjs|deb\.debian)\.(org|com)", re.IGNORECASE)


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        yield path, ast.parse(path.read_text())


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def imported_by(tree: ast.Module) -> set[str]:
    """The top-level names that a module imports, inside its functions too."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"digital_twin"}


def test_every_layer_imports_only_the_libraries_it_is_allowed() -> None:
    found: dict[str, set[str]] = defaultdict(set)
    for path, tree in modules():
        layer = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        found[layer] |= imported_by(tree)
    beyond = {layer: names - LIBRARIES.get(layer, set()) for layer, names in found.items()}
    assert not {layer: names for layer, names in beyond.items() if names}
    assert not {layer: names - found[layer] for layer, names in LIBRARIES.items() if names - found[layer]}


def test_the_pure_packages_ask_no_clock_and_open_no_file() -> None:
    impure, reading = {"open", "print", "input"}, {"read_text", "read_bytes"}
    pure = ("domain", "macro_twin", "forecasting", "optimization", "simulation")
    for path, tree in modules():
        if path.relative_to(SOURCE).parts[0] not in pure:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in impure, f"{path}:{node.lineno} calls {node.func.id}"
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("utcnow", "today", "now"), f"{path}:{node.lineno} asks a clock"
                assert node.attr not in reading, f"{path}:{node.lineno} reads a file"


def test_modules_and_functions_stay_small_and_well_named() -> None:
    for path, tree in modules():
        assert path.stem not in FORBIDDEN_NAMES, path
        assert path.read_text().count("\n") <= LONGEST_MODULE, path
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                assert length <= LONGEST_FUNCTION, f"{path}:{node.lineno} {node.name} has {length} lines"


def test_every_package_and_module_says_what_it_is_about() -> None:
    silent = [str(path) for path, tree in modules() if not ast.get_docstring(tree)]
    assert not silent


def test_the_example_environment_documents_exactly_the_settings() -> None:
    text = (ROOT / "config" / ".env.example").read_text().partition("# --- Deployment with Docker")[0]
    documented = re.findall(r"^# ([A-Z0-9_]+)=(.*)$", text, re.MULTILINE)
    assert sorted(name.lower() for name, _ in documented) == sorted(Settings.model_fields)
    defaults = Settings.model_construct()
    for name, value in documented:
        default = getattr(defaults, name.lower())
        if value.startswith("~"):
            assert Path(value).expanduser() == default
        else:
            assert value == ("" if default is None else str(default)), name


def test_every_setting_is_read_somewhere() -> None:
    text = "\n".join(path.read_text() for path, _ in modules() if path.name != "settings.py")
    own = (SOURCE / "settings.py").read_text()
    unread = [name for name in Settings.model_fields if f".{name}" not in text and f"self.{name}" not in own]
    assert not unread


def test_every_metric_is_fed_somewhere() -> None:
    text = "\n".join(path.read_text() for path, _ in modules() if path.name != "telemetry.py")
    telemetry = ast.parse((SOURCE / "telemetry.py").read_text())
    metrics = [
        node.targets[0].id
        for node in telemetry.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Call)
        and getattr(node.value.func, "id", "") in ("Counter", "Gauge", "Histogram")
    ]  # fmt: skip
    assert metrics
    assert not [name for name in metrics if f"{name}." not in text]


def test_no_file_names_a_package_registry() -> None:
    naming = []
    for path in tracked_files():
        text = path.read_bytes().decode("utf-8", "ignore")
        if path != Path(__file__) and ADDRESS.search(text):
            naming.append(str(path))
    assert not naming


def test_requirements_are_pinned_with_hashes() -> None:
    locks = sorted(ROOT.glob("requirements*.txt"))
    assert len(locks) == 6
    for lock in locks:
        for requirement in lock.read_text().replace("\\\n", " ").splitlines():
            assert "==" in requirement, requirement
            assert "--hash=sha256:" in requirement, requirement


def test_what_the_readme_links_to_exists() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    assert pages
    for page in pages:
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
