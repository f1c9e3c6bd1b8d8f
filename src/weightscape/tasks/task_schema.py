"""What may stand in a task file: the keys, checked and turned into one line where they are wrong.

The tables on docs/tasks.md are made from the descriptions here.
"""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from weightscape.errors import BadInput
from weightscape.tasks.data_files import check_file, read_text
from weightscape.tasks.labels import label_name
from weightscape.tasks.splits import SHARES, check_shares
from weightscape.tasks.task import KindName, Split

TASK_FILE_LIMIT = 1 << 18
DEPTH_LIMIT = 16


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class ColumnsTable(_Strict):
    """Which column holds what; every column goes by its own name unless said otherwise."""

    text: str = Field(default="text", min_length=1, description="the text to be read; the prompt")
    first: str = Field(default="first", min_length=1, description="the first text of a pair")
    second: str = Field(default="second", min_length=1, description="the second text of a pair")
    image: str = Field(
        default="image",
        min_length=1,
        description="an image: its path, relative to the data file and inside its folder, or an "
        "image column of a `datasets` data set",
    )
    label: str = Field(
        default="label", min_length=1, description="the label, or the number to be predicted"
    )
    target: str = Field(
        default="target", min_length=1, description="the text to be written (`seq2seq`, `causal`)"
    )
    split: str = Field(
        default="split",
        min_length=1,
        description="`train`, `validation` or `test`; used where there is one",
    )


class SplitTable(_Strict):
    """How rows are split, or which of the data's own splits are taken."""

    names: dict[Split, str] | None = Field(
        default=None,
        min_length=1,
        description="what the data call our splits, `{train: train, test: validation}`; others "
        "are left out",
    )
    seed: int = Field(default=0, description="another seed holds out other rows")
    shares: dict[Split, float] = Field(
        default=dict(SHARES), description="of each split that is made; they add up to 1"
    )
    stratify: bool = Field(
        default=True,
        description="split each label in the same proportions; `false`: a row's side follows from "
        "its content alone, so that tasks that share texts hold out the same ones",
    )
    overlap: Literal["refuse", "drop"] = Field(
        default="refuse",
        description="what is done with an input that the data have in two splits: an error, or "
        "leave it out of training",
    )

    @field_validator("shares")
    @classmethod
    def _add_up(cls, shares: dict[Split, float]) -> dict[Split, float]:
        check_shares(shares)
        return shares


class TaskTable(_Strict):
    """A task file."""

    name: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="what results call it; else the file's name",
    )
    domain: str = Field(
        default="", description="the family of tasks it belongs to (sentiment, topic, ...)"
    )
    data: str | dict[Split, str] = Field(
        min_length=1,
        description="a file (`.csv`, `.tsv`, `.jsonl`, `.parquet`), a folder of the `datasets` "
        "library, a hub data set `owner/name` (or `hub:name`), or a packaged task; or a file per "
        "split. Paths are relative to the task file",
    )
    config: str | None = Field(
        default=None, min_length=1, description="a hub data set's configuration"
    )
    revision: str | None = Field(
        default=None, min_length=1, description="a hub data set's revision"
    )
    kind: KindName | None = Field(
        default=None,
        description="how a model is fed and asked; told from the columns if not stated",
    )
    columns: ColumnsTable = Field(default=ColumnsTable(), description="which column holds what")
    labels: Literal["number"] | list[str] | dict[str, str] | None = Field(
        default=None,
        min_length=1,
        description="the labels in their order; or `{cell: label}` where cells hold codes; or "
        "`number`: the label column holds numbers to be predicted (a regression). Else the "
        "labels of the training rows, in order",
    )
    split: SplitTable = Field(default=SplitTable(), description="how rows are split")
    max_tokens: int = Field(
        default=128,
        ge=1,
        le=1 << 20,
        description="texts are cut to so many tokens before they are read",
    )
    target_tokens: int = Field(
        default=32, ge=1, le=1 << 20, description="texts to be written are cut to so many tokens"
    )
    metrics: list[str] | None = Field(
        default=None,
        min_length=1,
        description="the first is the one that is meant where one is asked for",
    )
    function: str | None = Field(
        default=None,
        description="`module:function` of a custom task, in an installed module or beside the task "
        "file; needs `trust_code`",
    )

    @field_validator("labels")
    @classmethod
    def _several(cls, labels: Any) -> Any:
        if isinstance(labels, list | dict):
            names = [label_name(name) for name in labels]
            if len(set(names)) < len(names):
                raise ValueError(f"a label stands twice in {names}")
            if isinstance(labels, list):
                return names
        return labels


def read_task_file(file: Path) -> TaskTable:
    """Read and check a task file; raises NotFound or BadInput in one line that names the key."""
    check_file(file)
    return check_task_table(parse_yaml(read_text(file, TASK_FILE_LIMIT), file), file)


def check_task_table(table: Any, file: str | Path) -> TaskTable:
    """Check what a task file or a caller says; `file` is what errors name."""
    if not isinstance(table, dict):
        raise BadInput(
            f"{file}: a task file holds keys and values ('data: rows.csv'), but this is: "
            f"{_FORM_NAMES.get(type(table), 'single text')}"
        )
    try:
        return TaskTable.model_validate(table)
    except ValidationError as error:
        raise BadInput(f"{file}: {_told(error)}") from None


def parse_yaml(text: str, file: str | Path) -> Any:
    """Parse YAML into texts, lists and mappings; nothing else is made, and nothing is run.

    Every scalar stays a text, so that the labels yes, no, on, 1e3 and 2020-01-01 stay what they
    are. Aliases, which let a few lines unfold into gigabytes, and repeated keys are refused.
    """
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                at = event.start_mark.line + 1 if event.start_mark is not None else 1
                raise BadInput(
                    f"{file}, line {at}: alias *{event.anchor} is not "
                    "allowed in a task file; write the value out"
                )
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > DEPTH_LIMIT:
                raise BadInput(f"{file}: nested deeper than {DEPTH_LIMIT} levels")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        return None if node is None else _value(node, file)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise BadInput(f"{file}{line}: not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise BadInput(f"{file}: not YAML: {str(error).splitlines()[0]}") from None


def _value(node: yaml.Node, file: str | Path) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return [_value(part, file) for part in node.value]
    if not isinstance(node, yaml.MappingNode):
        empty = node.tag == "tag:yaml.org,2002:null"
        return None if empty else node.value
    found: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key, line = key_node.value, key_node.start_mark.line + 1
        if not isinstance(key, str):
            raise BadInput(f"{file}, line {line}: a key must be a plain word")
        if key in found:
            raise BadInput(f"{file}, line {line}: key {key!r} stands there twice")
        found[key] = _value(value_node, file)
    return found


def _told(error: ValidationError) -> str:
    """Say of the first mistake which key it is at, what was given and what is allowed."""
    mistakes = error.errors(include_url=False)
    # of a key that may be one of several things, the thing it comes nearest to went wrong deepest
    first = mistakes[0]
    alike = [m for m in mistakes if m["loc"][:1] == first["loc"][:1]]
    mistake = alike[0]
    path = [str(part) for part in mistake["loc"]]
    key = ".".join(part for part in path if part not in _BRANCHES)
    if mistake["type"] == "extra_forbidden":
        known = _known_keys(path[:-1])
        return f"unknown key {key!r}; the keys there are {', '.join(known)}"
    if mistake["type"] == "missing":
        return f"key {key!r} is missing"
    if len(alike) > 1 and key.split(".")[0] in _FORMS:
        field = path[0]
        return f"key {field!r}: got {_short(_given(alike, field))}; it should be {_FORMS[field]}"
    said = mistake["msg"].removeprefix("Value error, ")
    return f"key {key!r}: got {_short(mistake['input'])}; {said[:1].lower()}{said[1:]}"


_FORM_NAMES = {list: "list", type(None): "empty file"}
_BRANCHES = {"str", "list[str]", "[key]", "literal['number']"}
_FORMS = {
    "data": "a path or name, or one of each split: {train: a.csv, test: b.csv}",
    "labels": "'number', a list of names, or {cell: label}",
}


def _given(alike: list[Any], field: str) -> Any:
    return next((m["input"] for m in alike if len(m["loc"]) <= 2), alike[0]["input"])


def _known_keys(path: list[str]) -> list[str]:
    tables: dict[str, type[BaseModel]] = {"columns": ColumnsTable, "split": SplitTable}
    table = tables.get(path[0], TaskTable) if path else TaskTable
    return list(table.model_fields)


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."
