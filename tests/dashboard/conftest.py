"""What the tests of pages share."""

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def main_module_again() -> Iterator[None]:
    """Streamlit leaves its page as the main module, which every process that is spawned later would run first."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main
