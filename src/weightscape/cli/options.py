"""Options that several verbs share, so that they read the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer

AtlasFolder = Annotated[
    Path, typer.Option("--atlas", metavar="DIR", help="Folder of the atlas.", show_default=True)
]
DEFAULT_ATLAS = Path("atlas")
Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of everything that is drawn by chance.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes.")]
Include = Annotated[
    list[str] | None,
    typer.Option("--include", metavar="GLOB", help="Only models whose names match; repeatable."),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option("--exclude", metavar="GLOB", help="No models whose names match; repeatable."),
]
Places = Annotated[
    list[str],
    typer.Argument(metavar="PATH", help="Folders, files, URLs, or hub ids (org/name[@revision])."),
]
Base = Annotated[
    list[str] | None,
    typer.Option("--base", metavar="PATH", help="A base outside the folder; repeatable."),
]
Download = Annotated[
    bool,
    typer.Option("--download", help="Fetch models of URLs and hubs whole, not one layer."),
]
OneBase = Annotated[
    str | None,
    typer.Option(
        "--base", metavar="MODEL", help="What the models come from (default: by the atlas)."
    ),
]
Verify = Annotated[
    bool, typer.Option("--verify", help="Hash every byte instead of trusting sizes and times.")
]
Memory = Annotated[
    str,
    typer.Option("--memory", metavar="SIZE", help="Memory for the pass, beside mapped files."),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="Threads of the pass (default: one a processor)."),
]
Plot = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", help="Also draw it as a picture: FILE.png or .svg."),
]
Pooling = Annotated[
    str | None,
    typer.Option("--pooling", metavar="NAME", help="How cosines are pooled over tensors."),
]
AllowDownload = Annotated[
    bool,
    typer.Option("--allow-download", help="Fetch it whole where it cannot be read in part."),
]
Tasks = Annotated[
    list[str] | None,
    typer.Option("--task", metavar="T", help="A task file, a packaged task, or data."),
]
Rows = Annotated[str, typer.Option("--rows", metavar="N", help="Held-out rows to score, or all.")]
TrainRows = Annotated[
    str, typer.Option("--train-rows", metavar="N", help="Training rows to score, or all.")
]
Head = Annotated[
    str,
    typer.Option(
        "--head", metavar="NAME", help="auto, own, probe, or a model whose head is used throughout."
    ),
]
Space = Annotated[
    str,
    typer.Option(
        "--space", metavar="NAME", help="Of adapters: factor (their tensors) or product (weights)."
    ),
]
Metric = Annotated[
    str | None,
    typer.Option(
        "--metric", metavar="NAME", help="The metric that is meant (default: the task's)."
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Folder of the results (default: in the atlas)."),
]
ScoreBatch = Annotated[int, typer.Option("--score-batch", min=1, help="Rows at once when scoring.")]
Device = Annotated[
    str | None, typer.Option("--device", metavar="NAME", help="cpu, cuda, cuda:1, ...")
]
Bf16 = Annotated[bool, typer.Option("--bf16", help="Compute in bfloat16.")]
FastBf16 = Annotated[
    bool | None,
    typer.Option("--bf16/--no-bf16", help="Compute in bfloat16 (default: where that is fast)."),
]
Factory = Annotated[
    str | None,
    typer.Option(
        "--factory", metavar="MODULE:FUNCTION", help="Makes a plain torch module; it is run."
    ),
]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run code that a model brings.")
]
TrustCode = Annotated[
    bool, typer.Option("--trust-code", help="Run the function that a task file names.")
]
Plots = Annotated[
    list[Path] | None,
    typer.Option(
        "--plot", metavar="FILE", help="Also draw it: FILE.png, .svg, .pdf or .html; repeatable."
    ),
]


def parse_size(text: str) -> int:
    """Read a size such as 2GiB, 500M or 1e9; raises BadInput.

    >>> parse_size("2GiB"), parse_size("500M"), parse_size("64 kb")
    (2147483648, 500000000, 64000)
    """
    from weightscape.errors import BadInput

    units = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
    units |= {"KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
    cleaned = text.strip().upper().removesuffix("B").strip()
    number = cleaned.rstrip("KMGTI").strip()
    unit = cleaned[len(number) :].strip()
    try:
        value = float(number) * units[unit]
        if not 0 < value < 2**60:
            raise ValueError
    except (ValueError, KeyError):
        raise BadInput(f"{text!r} is no size; write one like 2GiB, 500M or 4e9") from None
    return int(value)
