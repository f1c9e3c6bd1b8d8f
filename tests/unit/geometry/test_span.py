"""A span's points are the sums they should be, its vertices the models themselves."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from weightscape.errors import BadInput, MismatchedModels
from weightscape.geometry.combination import PIECE, combine
from weightscape.geometry.layers import by_layer
from weightscape.geometry.span import Span

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def network(seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 2))


def weights(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for name, tensor in network(seed).state_dict().items():
        noise = torch.randn(tensor.shape, generator=generator)
        made[name] = noise if tensor.is_floating_point() else tensor + seed
    return made


def bits(tensors: dict[str, Tensor]) -> dict[str, bytes]:
    return {
        name: it.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        for name, it in tensors.items()
    }


def summed(models: list[dict[str, Tensor]], shares: list[float], name: str) -> Tensor:
    return sum(share * model[name].double() for share, model in zip(shares, models, strict=True))


def test_every_model_is_a_point_bit_for_bit_in_both_modes() -> None:
    models = [weights(seed) for seed in range(4)]
    models[2]["0.weight"][0, 0] = -0.0
    models[3]["0.bias"][1] = float("nan")
    module = network(9)
    span = Span.through(models)
    for number, model in enumerate(models):
        expected = {**model, "1.num_batches_tracked": models[0]["1.num_batches_tracked"]}
        span.write(span.vertex(number), module)
        assert bits(module.state_dict()) == bits(expected)
        assert bits(span.tensors(span.vertex(number))) == bits(expected)


def test_a_point_is_the_weighted_sum_with_the_origins_share_what_is_left() -> None:
    models = [weights(seed) for seed in range(3)]
    span = Span.through(models)
    made = span.tensors((0.25, -0.5))
    for name in span.names:
        expected = summed(models, [1.25, 0.25, -0.5], name).float()
        assert torch.equal(made[name], expected)
    assert span.coefficients((1.25, 0.25, -0.5)) == (0.25, -0.5)


def test_directions_are_added_to_the_whole_origin_and_may_be_partial() -> None:
    origin = weights(0)
    span = Span(
        origin, [{"0.bias": torch.ones(5)}, {"2.bias": torch.ones(2), "0.bias": torch.zeros(5)}]
    )
    assert span.names == ("0.bias", "2.bias")
    made = span.tensors((0.5, 2.0))
    assert torch.equal(made["0.bias"], origin["0.bias"] + 0.5)
    assert torch.equal(made["2.bias"], origin["2.bias"] + 2.0)
    assert torch.equal(made["0.weight"], origin["0.weight"])


def test_a_span_of_models_takes_deltas_too() -> None:
    models = [weights(seed) for seed in range(2)]
    span = Span.through(models).extended(direction={"2.bias": torch.ones(2)})
    made = span.tensors((1.0, 3.0))
    assert torch.equal(made["0.weight"], models[1]["0.weight"])
    expected = (models[1]["2.bias"].double() + 3.0).float()
    assert torch.equal(made["2.bias"], expected)
    with pytest.raises(BadInput, match="no model"):
        span.vertex(2)


coefficient = st.floats(-3, 3) | st.sampled_from([0.0, 1.0, -1.0, 1e-12, 1e4])


@settings(max_examples=60, deadline=None)
@given(
    point=st.lists(coefficient, min_size=1, max_size=5),
    seed=st.integers(0, 1000),
    scale=st.sampled_from([1.0, 1e-3, 1e6, 1e-38, 1e-44]),
    held=st.sampled_from(DTYPES),
    live=st.sampled_from(DTYPES),
    first_is_vertex=st.booleans(),
)
def test_the_fast_mode_keeps_to_its_stated_bound(
    point: list[float],
    seed: int,
    scale: float,
    held: torch.dtype,
    live: torch.dtype,
    first_is_vertex: bool,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    tensors = [
        (
            torch.randn(64, generator=generator)
            * min(scale, 1.0 if torch.float16 in (held, live) else scale)
        ).to(held)
        for _ in range(len(point) + 1)
    ]
    models = [{"weight": it.view(1, 64)} for it in tensors]
    span = Span.through(models) if first_is_vertex else Span(models[0], models[1:])
    module = nn.Linear(64, 1, bias=False).to(live)
    span.write(point, module)
    if not span.names:
        return
    exact = sum(
        weight * it.double()
        for weight, it in zip(
            [1 - sum(point) if first_is_vertex else 1.0, *point], tensors, strict=True
        )
    )
    if exact.abs().max() > 6e4 and live == torch.float16:
        return  # rounded to infinity, as it should be
    got = module.weight.detach().view(-1)
    bound = span.error_bound(point, live)["weight"]
    # against the float64 sum, and against what the exact mode makes of it
    assert (got.double() - exact).abs().max().item() <= bound
    assert (got.double() - exact.to(live).double()).abs().max().item() <= bound
    # the bound is of use: of the size of a few roundings of what was summed
    size = span._weights(point)[0]
    most = sum(abs(w) * it.double().abs().max().item() for w, it in zip(size, tensors, strict=True))
    assert bound <= 1e-6 * most * len(tensors) + 4 * torch.finfo(live).eps * most + 1e-6


def test_pieces_and_dtypes_do_not_change_the_sum() -> None:
    generator = torch.Generator().manual_seed(0)
    length = 2 * PIECE + 7
    terms = [(torch.randn(length, generator=generator), 0.3 * k - 0.5) for k in range(3)]
    out, expected = torch.empty(length), torch.zeros(length)
    combine(out, terms)
    for tensor, weight in terms:
        expected.add_(tensor, alpha=weight)
    assert torch.allclose(out, expected, atol=1e-6)
    mixed = torch.empty(length, dtype=torch.bfloat16)
    combine(mixed, [(terms[0][0].bfloat16(), 0.5), (terms[1][0], -1.5)])
    expected = terms[0][0].bfloat16().float().mul_(0.5).add_(terms[1][0], alpha=-1.5)
    assert torch.equal(mixed, expected.bfloat16())


def test_terms_of_weight_zero_are_not_read() -> None:
    bad = {"w": torch.full((3,), float("nan"))}
    span = Span.through([{"w": torch.ones(3)}, {"w": torch.zeros(3)}, bad])
    assert torch.equal(span.tensors((0.5, 0.0))["w"], torch.full((3,), 0.5))


def test_every_layer_can_have_its_own_coefficients() -> None:
    models = [weights(seed) for seed in range(3)]
    names = Span.through(models).names
    layers = by_layer(names)
    assert layers["0.weight"] == 0 and layers["1.bias"] == 1 and layers["2.bias"] == 2
    span = Span.through(models, layers=layers)
    point = np.array([[0.0, 0.0], [1.0, 0.0], [0.25, 0.5]])
    made, module = span.tensors(point), network(9)
    span.write(point, module)
    for state in (made, dict(module.state_dict())):
        assert bits({"x": state["0.weight"]}) == bits({"x": models[0]["0.weight"]})
        assert bits({"x": state["1.running_var"]}) == bits({"x": models[1]["1.running_var"]})
        expected = summed(models, [0.25, 0.25, 0.5], "2.bias").float()
        assert torch.allclose(state["2.bias"], expected, atol=1e-6)
    # one row of coefficients is a row for all
    assert bits(span.tensors([0.5, 0.2])) == bits(Span.through(models).tensors([0.5, 0.2]))
    assert span.distance([0.5, 0.2], [[0.5, 0.2]] * 3) == 0.0


@pytest.mark.parametrize("point", [[1.0], [[0.1, 0.2]], [0.1, float("nan")], [float("inf"), 0.0]])
def test_a_point_of_another_shape_or_not_finite_is_refused(point: object) -> None:
    span = Span.through([weights(seed) for seed in range(3)])
    with pytest.raises(BadInput, match="point"):
        span.tensors(point)
    with pytest.raises(BadInput, match="point"):
        span.write(point, network(0))


def test_weights_must_be_one_for_each_model_and_sum_to_one() -> None:
    span = Span.through([weights(seed) for seed in range(3)])
    assert span.coefficients((0.2, 0.3, 0.5)) == (0.3, 0.5)
    for bad in ((0.5, 0.5), (0.5, 0.5, 0.5), (float("nan"), 0.5, 0.5)):
        with pytest.raises(BadInput, match="weights"):
            span.coefficients(bad)
    with pytest.raises(BadInput, match="weights"):
        Span(weights(0), [{"0.bias": torch.ones(5)}]).coefficients((0.5, 0.5))


def test_distances_and_cosines_are_those_of_the_weights() -> None:
    models = [weights(seed) for seed in range(3)]
    for model in models:
        model["2.weight"] = models[0]["2.weight"]
    span = Span.through(models, layers=by_layer(models[0]))
    p, q = np.array([[0.5, -1.0]] * 3), np.array([[0.1, 0.2], [0.3, 0.4], [-0.5, 0.6]])

    def flat(point: object) -> Tensor:
        made = span.tensors(point)
        return torch.cat([it.double().view(-1) for it in made.values() if it.is_floating_point()])

    at = {"p": flat(p), "q": flat(q), "o": flat([0.0, 0.0])}
    assert span.distance(p, q) == pytest.approx((at["p"] - at["q"]).norm().item(), rel=1e-5)
    cosine = nn.functional.cosine_similarity
    between = cosine(at["p"] - at["o"], at["q"] - at["o"], dim=0).item()
    assert span.cosine(p, q) == pytest.approx(between, rel=1e-5)
    assert np.isnan(span.cosine([0.0, 0.0], q))
    assert span.weight_cosine(p, q) == pytest.approx(
        cosine(at["p"], at["q"], dim=0).item(), rel=1e-5
    )


def test_distances_of_near_models_do_not_drown_in_their_norm() -> None:
    base = torch.randn(1000, generator=torch.Generator().manual_seed(0)) * 1e3
    near = base.clone()
    near[0] += 0.5
    span = Span.through([{"w": base}, {"w": near}])
    assert span.distance([0.0], [1.0]) == pytest.approx((near[0] - base[0]).item(), rel=1e-12)


def test_a_span_grows_by_a_control_point_that_can_be_trained() -> None:
    models = [weights(seed) for seed in range(2)]
    line = Span.through(models)
    curve = line.extended(model=line.tensors((0.5,)))
    assert curve.size == 2 and curve.vertex(2) == (0.0, 1.0)
    assert bits(curve.tensors((0.3, 0.0))) == bits(line.tensors((0.3,)))
    assert curve.held(1)["0.bias"].data_ptr() == line.held(1)["0.bias"].data_ptr()
    before = curve.distance((0.0, 1.0), (0.0, 0.0))
    bend = curve.held(2)["0.bias"]
    with torch.no_grad():
        bend += 1.0
    module = network(9)
    curve.write(curve.vertex(2), module)
    assert torch.equal(module[0].bias, bend)
    assert curve.distance((0.0, 1.0), (0.0, 0.0)) != before
    assert torch.equal(line.held(0)["0.bias"], models[0]["0.bias"])


def test_distances_follow_a_control_point_that_an_optimiser_moves() -> None:
    line = Span.through([{"w": torch.zeros(4)}, {"w": torch.ones(4)}])
    curve = line.extended(model=line.tensors((0.0,)))
    assert curve.distance((0.0, 1.0), (0.0, 0.0)) == 0.0
    parameter = nn.Parameter(curve.held(2)["w"])
    parameter.grad = torch.full((4,), -1.0)
    torch.optim.SGD([parameter], lr=0.5).step()
    assert curve.distance((0.0, 1.0), (0.0, 0.0)) == pytest.approx(1.0)
    assert torch.equal(curve.tensors((0.0, 1.0))["w"], torch.full((4,), 0.5))


def test_a_new_model_can_move_what_stood_still() -> None:
    one, other, third = weights(0), weights(1), weights(2)
    other["2.bias"] = one["2.bias"].clone()
    line = Span.through([one, other])
    assert "2.bias" in line.constants
    plane = line.extended(model=third)
    assert "2.bias" in plane.names and "2.bias" in line.constants
    expected = (0.5 * one["2.bias"].double() + 0.5 * third["2.bias"].double()).float()
    assert torch.equal(plane.tensors((0.0, 0.5))["2.bias"], expected)


def test_models_that_do_not_correspond_are_refused_by_the_tensors_name() -> None:
    good = weights(0)
    lacking = {name: it for name, it in weights(1).items() if name != "1.weight"}
    with pytest.raises(MismatchedModels, match=r"'1.weight' is missing in model 2"):
        Span.through([good, weights(1), lacking])
    with pytest.raises(
        MismatchedModels, match=r"'more' of model 1 of the span is not in its origin"
    ):
        Span.through([good, {**weights(1), "more": torch.ones(1)}])
    wide = {**weights(1), "0.bias": torch.ones(7)}
    with pytest.raises(MismatchedModels, match=r"'0.bias' has shape \[7\] in model 1.*\[5\]"):
        Span.through([good, wide])
    with pytest.raises(MismatchedModels, match=r"'0.bias' has shape \[7\] in direction 1"):
        Span(good, [{"0.bias": torch.ones(7)}])
    with pytest.raises(MismatchedModels, match="num_batches_tracked.*only floating tensors move"):
        Span(good, [{"1.num_batches_tracked": torch.tensor(1)}])
    with pytest.raises(BadInput, match="at least one model"):
        Span.through([])
    with pytest.raises(BadInput, match="'0.weight' a group"):
        Span.through([good, weights(1)], layers={"0.bias": 0})
    with pytest.raises(BadInput, match="from 0"):
        Span.through([good, weights(1)], layers=dict.fromkeys(good, -1))
    for call in (
        lambda span: span.held(2),
        lambda span: span.extended(),
        lambda span: span.tensor("x", (0.5,)),
    ):
        with pytest.raises(BadInput):
            call(Span.through([good, weights(1)]))


@pytest.mark.parametrize(
    "odd",
    [torch.ones(2, dtype=torch.complex64), torch.ones(2, device="meta"), torch.ones(2).to_sparse()],
)
def test_tensors_that_are_not_plain_are_refused(odd: Tensor) -> None:
    with pytest.raises(BadInput, match="'w' of the origin of the span.*dense"):
        Span.through([{"w": odd}])
    with pytest.raises(BadInput, match="'w' of model 1"):
        Span.through([{"w": torch.ones(2)}, {"w": odd}])


def test_models_of_another_type_are_summed_into_the_origins() -> None:
    one, other = torch.tensor([1.0, 2.0]), torch.tensor([2.0, 1.0], dtype=torch.bfloat16)
    made = Span.through([{"w": one}, {"w": other}]).tensors((0.5,))
    assert made["w"].dtype == torch.float32 and made["w"].tolist() == [1.5, 1.5]


def test_an_encoder_and_a_decoder_have_layers_of_their_own() -> None:
    names = [
        "shared.weight",
        "decoder.block.0.w",
        "encoder.block.10.w",
        "encoder.block.2.a.0.w",
        "lm_head.w",
    ]
    assert list(by_layer(names).values()) == [0, 1, 3, 2, 4]
    assert by_layer(["a.weight"]) == {"a.weight": 0}


def test_one_model_is_a_span_of_one_point() -> None:
    model = weights(0)
    span = Span.through([model])
    assert span.size == 0 and span.names == () and bits(span.tensors(())) == bits(model)
    assert span.distance((), ()) == 0.0
