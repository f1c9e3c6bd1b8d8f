"""docs/tasks.md says what is so: its examples are valid, its tables are those of the code."""

import re
from pathlib import Path

import pytest

from weightscape.tasks.metrics import DEFAULT_METRICS, METRICS, check_metrics
from weightscape.tasks.task import KINDS
from weightscape.tasks.task_schema import (
    ColumnsTable,
    SplitTable,
    TaskTable,
    check_task_table,
    parse_yaml,
)

PAGE = Path(__file__).parents[3] / "docs" / "tasks.md"
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def keys_table(table):
    lines = ["| key | default | what it says |", "|---|---|---|"]
    for name, field in table.model_fields.items():
        default = field.get_default(call_default_factory=True)
        plain = isinstance(default, str | int | float) and default != "" and name != "data"
        shown = f"`{str(default).lower()}`" if plain else ""
        lines.append(f"| `{name}` | {shown} | {field.description} |")
    return "\n".join(lines)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_a_valid_task_file(example):
    table = check_task_table(parse_yaml(example, "page"), "page")
    regression = table.labels == "number"
    check_metrics(table.metrics or ["loss"], table.kind or "classification", regression=regression)


def test_there_is_an_example_of_every_kind():
    stated = {parse_yaml(example, "page").get("kind", "classification") for example in EXAMPLES}
    assert stated == set(KINDS)


@pytest.mark.parametrize("table", [TaskTable, ColumnsTable, SplitTable])
def test_the_tables_of_keys_are_the_schema(table):
    pattern = rf"<!-- keys: {table.__name__} -->\n(.*?)\n<!-- end -->"
    (written,) = re.findall(pattern, PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert written == keys_table(table)


def test_the_table_of_metrics_is_the_registry():
    rows = re.findall(
        r"^\| `(\w+)` \| (\w+) \| ([\d.]+) \| (.*?) \|",
        PAGE.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    told = {name: (scores, float(best), chance) for name, scores, best, chance in rows}
    assert set(told) == set(METRICS)
    for name, (scores, best, chance) in told.items():
        metric = METRICS[name]
        assert scores == (metric.suits[0] if len(metric.suits) == 1 else "all")
        assert best == metric.best
        assert (chance == "not known") == (metric.chance is None)
    for names in DEFAULT_METRICS.values():
        assert set(names) <= set(METRICS)
