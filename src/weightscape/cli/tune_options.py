"""Options that the parts of `tune` share."""

from pathlib import Path
from typing import Annotated

import typer

More = Annotated[
    list[str] | None,
    typer.Argument(metavar="[MODEL...]", help="More models, as behind --models."),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--models",
        metavar="MODEL",
        help="Folders, folders of models, names in the atlas, or region:NAME; repeatable.",
    ),
]
Target = Annotated[
    str | None,
    typer.Option("--target", metavar="T", help="A task file, a packaged task, or data."),
]
Sources = Annotated[
    list[str] | None,
    typer.Option("--sources", metavar="S", help="Source tasks of the experts; repeatable."),
]
Base = Annotated[
    str | None,
    typer.Option("--base", metavar="MODEL", help="The pretrained model that experts come from."),
]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="OUT", help="Folder for the blend.")
]
Folder = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="DIR", help="Folder for the models.")
]
Space = Annotated[
    str, typer.Option("--space", metavar="NAME", help="Of weights: simplex, or box around a base.")
]
Low = Annotated[float, typer.Option("--low", help="Least coefficient in a box.")]
High = Annotated[float, typer.Option("--high", help="Greatest coefficient in a box.")]
L1 = Annotated[
    float, typer.Option("--l1", help="What the mean size of weights costs (LoraHub: 0.05).")
]
PerLayer = Annotated[bool, typer.Option("--per-layer", help="Give each layer weights of its own.")]
Sampler = Annotated[
    str | None,
    typer.Option("--sampler", metavar="NAME", help="What proposes weights (default: cobyqa)."),
]
Evaluations = Annotated[
    int | None,
    typer.Option(
        "--evaluations", metavar="N", help="Candidates at most (default: 150; any, with --minutes)."
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option("--minutes", metavar="M", help="Of searching at most; training is not in it."),
]
RaceError = Annotated[
    float, typer.Option("--race-error", help="Chance to stop a better candidate; 0: none stops.")
]
Surrogate = Annotated[
    bool, typer.Option("--surrogate/--no-surrogate", help="Search on a linear model first.")
]
Choice = Annotated[
    bool, typer.Option("--choice/--no-choice", help="Choose on rows that were not searched on.")
]
Apart = Annotated[
    bool,
    typer.Option("--apart/--no-apart", help="Keep training rows apart to search weights on."),
]
Refit = Annotated[
    bool, typer.Option("--refit/--no-refit", help="Fine-tune the blend a little on all rows.")
]
Study = Annotated[
    str | None, typer.Option("--study", metavar="NAME", help="Whose candidates are gone on with.")
]
Workers = Annotated[
    int, typer.Option("--workers", min=1, help="Processes that evaluate the sampler's candidates.")
]
Baselines = Annotated[
    str,
    typer.Option("--baselines", metavar="NAMES", help="With commas between; all, or none."),
]
DevRows = Annotated[
    str, typer.Option("--rows", metavar="N", help="Rows to search weights on, or all.")
]
TestRows = Annotated[
    str, typer.Option("--test-rows", metavar="N", help="Rows of the test split to score, or all.")
]
Head = Annotated[
    str,
    typer.Option("--head", metavar="NAME", help="All heads begin as one probe, or one drawn."),
]
Method = Annotated[
    str,
    typer.Option("--method", metavar="NAME", help="Of fine-tuning: full, bitfit, lora, head."),
]
Steps = Annotated[
    int | None,
    typer.Option("--steps", help="Of each fine-tuning on the target (default: for few rows)."),
]
Rate = Annotated[
    float | None, typer.Option("--lr", help="Its learning rate (default: by the method).")
]
ExpertMethod = Annotated[
    str,
    typer.Option("--expert-method", metavar="NAME", help="Of experts: full, bitfit, lora, head."),
]
ExpertSteps = Annotated[int, typer.Option("--expert-steps", help="Of each expert's fine-tuning.")]
ExpertRate = Annotated[
    float | None, typer.Option("--expert-lr", help="Its learning rate (default: by the method).")
]
Near = Annotated[
    float, typer.Option("--near", help="Cosine of deltas from which two experts are near-equal.")
]
