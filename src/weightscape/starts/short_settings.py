"""How the short runs of a search are trained."""

from weightscape.tasks.fine_tuning import LEARNING_RATES, FineTuning, MethodName

METHODS: tuple[MethodName, ...] = ("bitfit", "lora", "full")

STEPS = 20
"""A head that begins as a probe needs few steps, and many runs of few steps tell starts apart
better than few of many."""

_SLOWER = 4
"""By what the rates of few tensors are divided: those are for a head that is drawn and has to move
far. Larger steps drive what is trained beside a fitted head away from what the head reads."""


def short_fine_tuning(
    method: MethodName, *, steps: int = STEPS, lr: float | None = None, autocast: bool = False
) -> FineTuning:
    """Give the settings of short runs by a method; `lr` is the method's own rate if not given.

    >>> short_fine_tuning("bitfit").lr
    0.001
    """
    usual = LEARNING_RATES[method]
    rate = usual if method == "full" else usual / _SLOWER
    return FineTuning(method=method, lr=rate if lr is None else lr, steps=steps, autocast=autocast)
