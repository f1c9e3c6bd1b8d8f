"""What every bench does with its result: one JSON file, one table, the command that made it."""

import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def keep(name: str, result: dict[str, Any], *, module: str | None = None) -> Path:
    """Write a result to bench/results/NAME.json, with the command and the machine.

    module: of a bench that is run as one (`python -m`).
    """
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    # where somebody keeps a zoo is nobody else's business
    arguments = [Path(it).name if Path(it).is_absolute() else it for it in sys.argv[1:]]
    script = f"-m {module}" if module else f"bench/{Path(sys.argv[0]).name}"
    command = " ".join(["python", script, *arguments])
    machine = {
        "processors": os.cpu_count(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "load_at_end": [round(it, 2) for it in os.getloadavg()],
    }
    whole = {"command": command, "machine": machine, "made": time.strftime("%Y-%m-%d"), **result}
    path.write_text(json.dumps(without_nan(whole), indent=1, allow_nan=False) + "\n")
    return path


def without_nan(value: Any) -> Any:
    """Put None for numbers that are not finite: JSON has no word for them."""
    if isinstance(value, dict):
        return {key: without_nan(it) for key, it in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(it) for it in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def seconds(run: Callable[[], object], times: int) -> list[float]:
    """Time a function several times."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return taken


def show(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table that can be pasted into a page."""
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
