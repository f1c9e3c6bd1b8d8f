"""How answers are scored: small functions over scikit-learn, SciPy and rouge-score.

The table of metrics is on docs/tasks.md. Others register theirs, a `Metric`, under the entry-point
group ``weightscape.metrics``.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from weightscape.errors import BadInput, MissingExtra
from weightscape.registry import Registry
from weightscape.tasks.sameness import plain
from weightscape.tasks.task import KindName, Task

AnswerKind = Literal["labels", "numbers", "texts"]
"""What a model answers with: numbers of labels, numbers (a regression), or texts."""

ANSWER_KINDS: tuple[AnswerKind, ...] = get_args(AnswerKind)


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model answered on some rows, what was right, and each row's loss.

    label_count: how many labels the task has; 0 where answers are numbers or texts.
    predictions: may be empty for metrics that read losses only.
    """

    predictions: Sequence[Any]
    targets: Sequence[Any]
    losses: NDArray[np.float64] | None = None
    label_count: int = 0


@dataclass(frozen=True, slots=True)
class Metric:
    """A way to score answers.

    score: answers to a number; NaN where it is undefined.
    suits: the kinds of answers it can score.
    best: the score of perfect answers.
    chance: targets and the number of labels to the score of a model that has learned nothing but
    how common each answer is; None where no such score is known.
    reads: without "predictions" texts need not be written out for it.
    """

    score: Callable[[Answers], float]
    suits: tuple[AnswerKind, ...]
    higher_is_better: bool = True
    best: float = 1.0
    chance: Callable[[Sequence[Any], int], float] | None = None
    reads: Literal["predictions", "losses"] = "predictions"

    def __call__(self, answers: Answers) -> float:
        """Score answers; raises BadInput where there are none."""
        if not len(answers.targets):
            raise BadInput("there are no answers to be scored")
        return float(self.score(answers))


METRICS: Registry[Metric] = Registry("metric")

DEFAULT_METRICS: Mapping[str, tuple[str, ...]] = {
    "classification": ("accuracy", "macro_f1"),
    "pair": ("accuracy", "macro_f1"),
    "regression": ("spearman", "pearson"),
    "seq2seq": ("exact_match", "rouge_l"),
    "causal": ("exact_match", "rouge_l"),
    "custom": ("loss",),
}
"""By kind of task; "regression" is a classification or pair whose targets are numbers."""


def default_metrics(kind: KindName, *, regression: bool = False) -> tuple[str, ...]:
    """Tell which metrics a task has that names none."""
    return DEFAULT_METRICS["regression" if regression else kind]


def check_metrics(
    names: Sequence[str], kind: KindName, *, regression: bool = False
) -> tuple[str, ...]:
    """Give the names back if each is a metric that suits such a task.

    Raises UnknownName for a name, BadInput for a metric of other answers. A custom task may have
    any metric: what its predictions are is known to its function alone.
    """
    answers = answer_kind(kind, regression=regression)
    for name in names:
        metric = METRICS[name]
        if not isinstance(metric, Metric):
            raise BadInput(
                f"metric {name!r} should be a weightscape.tasks.metrics.Metric, "
                f"but its package gives a {type(metric).__name__}"
            )
        if answers and answers not in metric.suits:
            fit = [name for name in METRICS if answers in getattr(METRICS[name], "suits", ())]
            raise BadInput(
                f"metric {name!r} scores {' and '.join(metric.suits)}, but a "
                f"{'regression' if regression else kind} task answers with {answers}; "
                f"fit: {', '.join(fit)}"
            )
    if len(set(names)) < len(names):
        raise BadInput(f"a metric stands twice in {', '.join(names)}")
    return tuple(names)


def answer_kind(kind: KindName, *, regression: bool = False) -> AnswerKind | None:
    """Tell what a kind of task answers with; None for custom ones."""
    if kind == "custom":
        return None
    if kind in ("seq2seq", "causal"):
        return "texts"
    return "numbers" if regression else "labels"


def score_answers(task: Task, answers: Answers) -> dict[str, float]:
    """Score answers by each of a task's metrics."""
    return {name: METRICS[name](answers) for name in task.metrics}


def chance_level(name: str, targets: Sequence[Any], label_count: int = 0) -> float | None:
    """Tell what a model scores that knows only how common each answer is; None if unknown."""
    chance = METRICS[name].chance
    if chance is None:
        return None
    level = float(chance(targets, label_count))
    return None if math.isnan(level) else level


def is_better(name: str, a: float, b: float) -> bool:
    """Tell whether score `a` beats score `b`; a number beats NaN, and NaN beats nothing.

    >>> is_better("accuracy", 0.9, 0.8), is_better("loss", 0.9, 0.8)
    (True, False)
    """
    if math.isnan(a) or math.isnan(b):
        return math.isnan(b) and not math.isnan(a)
    return a > b if METRICS[name].higher_is_better else a < b


def accuracy(answers: Answers) -> float:
    """Tell the share of answers that are right."""
    return float(np.mean(np.asarray(answers.predictions) == np.asarray(answers.targets)))


def macro_f1(answers: Answers) -> float:
    """Average F1 over the labels that occur among targets or answers, each counting the same."""
    from sklearn.metrics import f1_score

    score = f1_score(answers.targets, answers.predictions, average="macro", zero_division=0.0)
    return float(score)


def mcc(answers: Answers) -> float:
    """Matthews' correlation of answers and targets; 0 where either is one label throughout."""
    from sklearn.metrics import matthews_corrcoef

    # scikit-learn warns of one single label before it gives the same 0
    if len(set(answers.targets)) < 2 or len(set(answers.predictions)) < 2:
        return 0.0
    return float(matthews_corrcoef(answers.targets, answers.predictions))


def spearman(answers: Answers) -> float:
    """Rank correlation; 0 for constant answers, NaN for constant targets."""
    from scipy.stats import spearmanr

    return _correlation(answers, lambda x, y: spearmanr(x, y).statistic)


def pearson(answers: Answers) -> float:
    """Linear correlation; 0 for constant answers, NaN for constant targets."""
    from scipy.stats import pearsonr

    return _correlation(answers, lambda x, y: pearsonr(x, y).statistic)


def _correlation(answers: Answers, of: Callable[[Any, Any], float]) -> float:
    given = np.asarray(answers.predictions, dtype=np.float64)
    right = np.asarray(answers.targets, dtype=np.float64)
    if len(right) < 2 or np.ptp(right) == 0 or not np.isfinite(given).all():
        return math.nan
    # answers that differ by rounding only say nothing, and SciPy warns of them
    if np.ptp(given) <= 1e-12 * np.abs(given).max():
        return 0.0
    return float(of(given, right))


def exact_match(answers: Answers) -> float:
    """Tell the share of texts that are right to the letter, white space apart."""
    pairs = zip(answers.predictions, answers.targets, strict=True)
    return float(np.mean([plain(given) == plain(right) for given, right in pairs]))


def rouge_l(answers: Answers) -> float:
    """Average the F-measure of the longest common subsequence of words (ROUGE-L, no stemming)."""
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError:
        raise MissingExtra("tasks", "the package rouge-score") from None
    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    pairs = zip(answers.predictions, answers.targets, strict=True)
    return float(np.mean([scorer.score(right, given)["rougeL"].fmeasure for given, right in pairs]))


def mean_loss(answers: Answers) -> float:
    """Average the rows' losses."""
    if answers.losses is None:
        raise BadInput("the metric 'loss' needs the rows' losses")
    return float(np.mean(answers.losses))


def _by_commonest(score: Callable[[Answers], float]) -> Callable[[Sequence[Any], int], float]:
    """Score the model that always answers with the commonest label."""

    def chance(targets: Sequence[Any], label_count: int) -> float:
        (commonest, _), *_ = Counter(targets).most_common(1)
        return score(Answers([commonest] * len(targets), targets, label_count=label_count))

    return chance


def _uninformed_loss(targets: Sequence[Any], label_count: int) -> float:
    """Give the entropy of the labels in nats, or the variance of numbers; NaN for texts."""
    if label_count:
        shares = np.array(list(Counter(targets).values())) / len(targets)
        return float(-(shares * np.log(shares)).sum())
    if any(isinstance(target, str) for target in targets):
        return math.nan
    return float(np.var(np.asarray(targets, dtype=np.float64)))


def _zero(targets: Sequence[Any], label_count: int) -> float:
    return 0.0


METRICS.add("accuracy", Metric(accuracy, ("labels",), chance=_by_commonest(accuracy)))
METRICS.add("macro_f1", Metric(macro_f1, ("labels",), chance=_by_commonest(macro_f1)))
METRICS.add("mcc", Metric(mcc, ("labels",), chance=_zero))
METRICS.add("spearman", Metric(spearman, ("numbers",), chance=_zero))
METRICS.add("pearson", Metric(pearson, ("numbers",), chance=_zero))
METRICS.add("exact_match", Metric(exact_match, ("texts",)))
METRICS.add("rouge_l", Metric(rouge_l, ("texts",)))
METRICS.add(
    "loss",
    Metric(
        mean_loss,
        ANSWER_KINDS,
        higher_is_better=False,
        best=0.0,
        chance=_uninformed_loss,
        reads="losses",
    ),
)
