"""Writing a span into live modules: what is shared, replaced, moved, cast or not there."""

import pytest
import torch
from torch import Tensor, nn

from weightscape.errors import BadInput, MismatchedModels
from weightscape.geometry.finite import non_finite
from weightscape.geometry.span import Span


class Tied(nn.Module):
    """An embedding whose table is also the output layer's."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(4, 3)
        self.body = nn.Linear(3, 3)
        self.head = nn.Linear(3, 4, bias=False)
        self.head.weight = self.table.weight
        self.register_buffer("scale", torch.ones(2), persistent=False)


def states(count: int = 2) -> list[dict[str, Tensor]]:
    return [{name: it.clone() for name, it in Tied().state_dict().items()} for _ in range(count)]


def tied_states(count: int = 2) -> list[dict[str, Tensor]]:
    return [{**it, "head.weight": it["table.weight"]} for it in states(count)]


def test_shared_tensors_are_written_once_and_stay_shared() -> None:
    module = Tied()
    for models in (states(), tied_states()):  # equal copies, or one storage
        span = Span.through([{**it, "head.weight": it["table.weight"]} for it in models])
        span.write((0.5,), module)
        assert module.head.weight is module.table.weight
        middle = (models[0]["table.weight"] + models[1]["table.weight"]) / 2
        assert torch.allclose(module.table.weight, middle)
        made = span.tensors((0.5,))
        assert made["head.weight"].data_ptr() == made["table.weight"].data_ptr()


def test_tied_tensors_that_must_be_copied_stay_tied() -> None:
    turned = [torch.randn(3, 4).T, torch.randn(3, 4).T]  # not row-major, so a span copies them
    span = Span.through([{"a": it, "b": it} for it in turned])
    assert span.held(1)["a"] is span.held(1)["b"]
    made = span.tensors((0.5,))
    assert made["a"] is made["b"]


def test_equal_copies_under_the_names_of_a_shared_tensor_are_taken() -> None:
    models = [{**it, "head.weight": it["table.weight"].clone()} for it in states()]
    module = Tied()
    span = Span.through(models)
    span.write(span.vertex(1), module)
    assert torch.equal(module.head.weight, models[1]["head.weight"])


def test_different_values_for_a_shared_tensor_are_refused() -> None:
    models = tied_states()
    models[1]["head.weight"] = models[1]["head.weight"] + 1
    with pytest.raises(
        MismatchedModels, match=r"'table.weight' and 'head.weight' are one.*model 1"
    ):
        Span.through(models).write((0.5,), Tied())
    partial = Span(tied_states()[0], [{"head.weight": torch.ones(4, 3)}])
    with pytest.raises(MismatchedModels, match="differ in direction 1"):
        partial.write((0.5,), Tied())


def test_a_module_that_lacks_a_tensor_or_has_another_shape_is_refused() -> None:
    span = Span.through([{"weight": torch.ones(2, 2)}, {"weight": torch.zeros(2, 2)}])
    with pytest.raises(
        MismatchedModels, match=r"'weight' of the span is not in the module \(ReLU\)"
    ):
        span.write((0.5,), nn.ReLU())
    with pytest.raises(MismatchedModels, match=r"'weight' has shape \[2, 3\] in the module"):
        span.write((0.5,), nn.Linear(3, 2))


def test_what_the_span_does_not_know_is_left_alone() -> None:
    span = Span.through([{"weight": torch.ones(2, 2)}, {"weight": torch.zeros(2, 2)}])
    module = nn.Linear(2, 2)
    bias = module.bias.detach().clone()
    span.write((0.5,), module)
    assert torch.equal(module.bias, bias) and (module.weight == 0.5).all()


def test_a_span_of_the_modules_own_tensors_is_refused_before_it_eats_itself() -> None:
    module = nn.Linear(2, 2)
    mine = {name: it.clone() for name, it in module.state_dict().items()}
    span = Span.through([module.state_dict(), {name: it + 1 for name, it in mine.items()}])
    with pytest.raises(BadInput, match="'weight' of the module is held by the span itself"):
        span.write((1.0,), module)
    assert torch.equal(module.weight, mine["weight"])


def test_constants_are_written_at_first_and_when_they_were_changed() -> None:
    fixed = torch.full((2,), 7.0)
    models = [{"weight": torch.full((2, 2), value), "bias": fixed} for value in (0.0, 1.0)]
    span, module = Span.through(models), nn.Linear(2, 2)
    span.write((0.5,), module)
    assert torch.equal(module.bias, fixed)
    written = module.bias._version
    span.write((0.6,), module)
    assert module.bias._version == written  # not touched again
    other = Span.through([{**it, "bias": torch.zeros(2)} for it in models])
    other.write((0.5,), module)
    span.write((0.5,), module)
    assert torch.equal(module.bias, fixed)


def test_a_module_may_be_cast_or_get_new_tensors_between_two_points() -> None:
    models = [{"weight": torch.full((2, 2), v), "bias": torch.full((2,), v)} for v in (1.0, 2.0)]
    span, module = Span.through(models), nn.Linear(2, 2)
    span.write((0.0,), module)
    module.bfloat16()
    span.write((0.5,), module)
    assert module.weight.dtype == torch.bfloat16 and (module.weight == 1.5).all()
    module.bias = nn.Parameter(torch.zeros(2, dtype=torch.bfloat16))
    span.write((1.0,), module)
    assert (module.bias == 2.0).all()
    module.double()
    span.write((1 / 3,), module)
    assert torch.allclose(module.weight, torch.tensor(4 / 3, dtype=torch.float64), atol=1e-15)


def test_row_major_is_not_asked_of_a_module_or_a_model() -> None:
    module = nn.Conv2d(3, 4, 2, bias=False).to(memory_format=torch.channels_last)
    weight = torch.arange(48.0).view(4, 3, 2, 2)
    turned = weight.permute(1, 0, 2, 3).contiguous().permute(1, 0, 2, 3)
    span = Span.through([{"weight": turned}, {"weight": weight + 2}])
    span.write((0.5,), module)
    assert torch.equal(module.weight, weight + 1)
    assert module.weight.is_contiguous(memory_format=torch.channels_last)


def test_writing_takes_no_part_in_autograd_but_spoils_graphs_made_before() -> None:
    span = Span.through([{"weight": torch.ones(1, 2)}, {"weight": torch.zeros(1, 2)}])
    module = nn.Linear(2, 1, bias=False)
    inputs = torch.ones(1, 2, requires_grad=True)
    loss = module(inputs).square().sum()
    span.write((0.5,), module)
    assert module.weight.requires_grad and module.weight.grad_fn is None
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_bindings_go_with_their_modules() -> None:
    span = Span.through([{"weight": torch.ones(1, 2)}, {"weight": torch.zeros(1, 2)}])
    for _ in range(3):
        module = nn.Linear(2, 1, bias=False)
        span.write((0.5,), module)
    del module
    assert len(span._bindings) == 0


def test_empty_tensors_and_scalars_are_points_too() -> None:
    module = nn.Module()
    module.register_buffer("empty", torch.empty(0, 3))
    module.register_buffer("none", torch.empty(0))
    module.register_parameter("gain", nn.Parameter(torch.tensor(1.0)))
    models = [
        {"empty": torch.empty(0, 3), "none": torch.empty(0), "gain": torch.tensor(v)}
        for v in (0.0, 4.0)
    ]
    span = Span.through(models)
    span.write((0.25,), module)
    assert module.gain.item() == 1.0 and span.tensors((0.25,))["gain"].shape == ()


def test_the_first_tensor_that_is_not_finite_is_named() -> None:
    module = nn.Linear(2, 2)
    assert non_finite(module) is None
    with torch.no_grad():
        module.bias[1] = float("-inf")
    assert non_finite(module) == "bias"
    huge = torch.full((4,), 3e38)  # their sum overflows, they do not
    assert non_finite({"a": huge, "b": torch.full((9,), 6e4, dtype=torch.float16)}) is None
    assert non_finite({"i": torch.tensor([1]), "n": torch.tensor([0.0, float("nan")])}) == "n"
