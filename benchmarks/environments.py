"""Peers whose packages are of other versions than ours live in virtual environments of their own."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def lock_of(peer: str) -> Path:
    """What is installed for a peer."""
    return ROOT / f"requirements-bench-{peer}.txt"


def environment_of(peer: str) -> Path:
    """Where it is installed."""
    return ROOT / f".venv-{peer}"


def python_of(peer: str) -> Path:
    """The Python that has the peer, as it is installed now."""
    return environment_of(peer) / "bin" / "python"


def prepare_environment(peer: str) -> Path:
    """Install what the peer's lock names into its environment, once; returns its Python."""
    lock, environment, python = lock_of(peer), environment_of(peer), python_of(peer)
    stamp = environment / ".installed"
    if stamp.exists() and stamp.read_bytes() == lock.read_bytes():
        return python
    print(f"installing what {lock.name} names into {environment.name} ...", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # the lock is whole; where a requirement asks for an extra, pip would look for another version of it
    subprocess.run([*pip, "--require-hashes", "--no-deps", "-r", lock], check=True)
    stamp.write_bytes(lock.read_bytes())
    return python
