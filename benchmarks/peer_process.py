"""A planner in a process of its own: it is told days as lines of JSON, and tells what each costs and what that took."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from digital_twin.optimization import DispatchProblem


class PeerProcess:
    """Asks one peer for plans; the seconds are those of its processor, for the plan alone."""

    def __init__(self, command: Sequence[str | Path], *, environment: Mapping[str, str] | None, home: Path) -> None:
        self._log = (home / f"{Path(command[-1]).stem}.log").open("wb")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, env=environment, cwd=home
        )

    def plan(self, problem: DispatchProblem, number: int) -> tuple[float, float]:
        """Cost of the plan for the day of this number, and seconds.

        Raises:
            RuntimeError: the peer has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(_told(problem) | {"number": number}).encode() + b"\n")
        self._process.stdin.flush()
        for line in self._process.stdout:  # whatever else it prints
            if line.startswith(b'{"cost"'):
                answer = json.loads(line)
                return answer["cost"], answer["seconds"]
        said = Path(self._log.name).read_text(errors="replace").strip().splitlines()
        raise RuntimeError(f"the peer has ended: {said[-1] if said else 'without a word'}")

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._log.close()


def _told(problem: DispatchProblem) -> dict[str, Any]:
    outlook, storage = problem.outlook, problem.storage
    return {
        "step_minutes": outlook.grid.step_minutes,
        "load_kw": outlook.load_kw.tolist(),
        "pv_kw": outlook.pv_kw.tolist(),
        "import_price_per_kwh": outlook.import_price_per_kwh.tolist(),
        "export_price_per_kwh": outlook.export_price_per_kwh.tolist(),
        "import_kw": problem.limits.import_kw,
        "export_kw": problem.limits.export_kw,
        "capacity_kwh": storage.capacity_kwh,
        "power_kw": storage.power_kw,
        "efficiency": storage.charge_efficiency,
        "initial_kwh": storage.initial_kwh,
    }
