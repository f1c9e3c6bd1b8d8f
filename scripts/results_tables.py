"""What the blocks of docs/results.md are made with: results, tables, where they are from."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def load(name: str) -> dict[str, Any]:
    """Read one bench's result."""
    result: dict[str, Any] = json.loads((ROOT / "bench/results" / f"{name}.json").read_text())
    return result


def table(columns: list[str], rows: list[list[str]]) -> str:
    """Write a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def source(result: dict[str, Any]) -> str:
    """Say what made a result, on what, and how busy that was."""
    machine = result["machine"]
    return (
        f"`{result['command']}`, {result['made']}, {machine['processors']} processors "
        f"({machine['architecture']}), load {machine['load_at_end'][0]} at the end."
    )
