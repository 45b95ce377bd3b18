"""Server programs that tests meet: found, or the test is skipped by name."""

import os
import shutil

import pytest


def program(name: str, *, package: str) -> str:
    """The path of a program; without it the test is skipped, or fails where servers are required."""
    found = shutil.which(name)
    if found:
        return found
    message = f"{name} is missing; on Debian: apt-get install {package}"
    if os.environ.get("REQUIRE_SERVERS") == "1":
        pytest.fail(message)
    pytest.skip(message)
