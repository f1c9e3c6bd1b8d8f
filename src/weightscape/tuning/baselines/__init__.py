"""Other ways to a model for a task, on the same rows: what a blend has to be better than."""

# each module registers what it defines
from weightscape.tuning.baselines import chosen, factored, fine_tuned, searched, weighed
from weightscape.tuning.baselines.setting import BASELINES, NotHad, NotMeant, Rival, Setting

__all__ = [
    "BASELINES",
    "NotHad",
    "NotMeant",
    "Rival",
    "Setting",
    "chosen",
    "factored",
    "fine_tuned",
    "searched",
    "weighed",
]
