"""What `tune search` and `tune run` are asked alike: their options, and what follows from them."""

from dataclasses import dataclass
from pathlib import Path

from weightscape.cli import options
from weightscape.cli import tune_options as given
from weightscape.cli.path_checks import check_output, check_plots, parse_rows
from weightscape.cli.tune_wanted import Budget, Training, Wanted, check, parse_baselines


@dataclass(frozen=True, slots=True)
class Question:
    """The options of a search and of what is beside it."""

    space: given.Space = "simplex"
    low: given.Low = -1.5
    high: given.High = 1.5
    l1: given.L1 = 0.0
    per_layer: given.PerLayer = False
    sampler: given.Sampler = None
    evaluations: given.Evaluations = None
    minutes: given.Minutes = None
    race_error: given.RaceError = 0.05
    surrogate: given.Surrogate = True
    choice: given.Choice = True
    refit: given.Refit = False
    baselines: given.Baselines = "all"
    study: given.Study = None
    rows: given.DevRows = "all"
    test_rows: given.TestRows = "1000"
    head: given.Head = "drawn"
    method: given.Method = "full"
    steps: given.Steps = None
    lr: given.Rate = None
    expert_method: given.ExpertMethod = "full"
    expert_steps: given.ExpertSteps = 100
    expert_lr: given.ExpertRate = None
    metric: options.Metric = None
    out: options.Out = None
    atlas: options.AtlasFolder = options.DEFAULT_ATLAS
    seed: options.Seed = 0
    score_batch: options.ScoreBatch = 64
    device: options.Device = None
    bf16: options.FastBf16 = None
    trust_remote_code: options.TrustRemoteCode = False
    trust_code: options.TrustCode = False
    plot: options.Plots = None
    json: options.Json = False
    quiet: options.Quiet = False

    def check(
        self, output: Path | None, apart: bool = True, workers: int = 1
    ) -> tuple[Wanted, Budget]:
        """Say what is wanted and what it may take; raise BadInput for what makes no sense."""
        check_plots(self.plot)
        check_output("--out", self.out)
        check_output("--output", output)
        wanted = self._wanted(apart)
        budget = Budget(self.evaluations, self.minutes, workers)
        check(wanted, budget)
        return wanted, budget

    def _wanted(self, apart: bool) -> Wanted:
        from weightscape.cli.start_work import in_bfloat16

        return Wanted(
            space=self.space,
            low=self.low,
            high=self.high,
            l1=self.l1,
            per_layer=self.per_layer,
            sampler=self.sampler,
            race_error=self.race_error,
            surrogate=self.surrogate,
            choice=self.choice,
            apart=apart,
            baselines=parse_baselines(self.baselines),
            rows=parse_rows("--rows", self.rows),
            test_rows=parse_rows("--test-rows", self.test_rows),
            head=self.head,
            target=Training(self.method, self.steps, self.lr),
            expert=Training(self.expert_method, self.expert_steps, self.expert_lr),
            metric=self.metric,
            seed=self.seed,
            batch=self.score_batch,
            bf16=in_bfloat16(self.bf16, self.device),
            chosen=self.bf16 is None,
        )
