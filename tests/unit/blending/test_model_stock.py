import numpy as np
import pytest
import torch

from weightscape.blending.model_stock import model_stock, stock_ratios
from weightscape.errors import BadInput
from weightscape.geometry.span import Span


def by_the_formula(tensors, base):
    """State Model Stock once more, on the tensors themselves."""
    deltas = [tensor - base for tensor in tensors]
    count = len(deltas)
    pairs = [(i, j) for i in range(count) for j in range(i)]
    cosine = np.mean(
        [
            float(deltas[i] @ deltas[j]) / (np.linalg.norm(deltas[i]) * np.linalg.norm(deltas[j]))
            for i, j in pairs
        ]
    )
    t = count * cosine / (1 + (count - 1) * cosine)
    return t * np.mean(tensors, axis=0) + (1 - t) * base


def test_weights_from_grams_give_the_blend_of_the_formula():
    generator = np.random.default_rng(0)
    shared = generator.standard_normal((2, 40))
    base = generator.standard_normal((2, 40))
    models = [base + 0.01 * (shared + generator.standard_normal((2, 40))) for _ in range(3)]
    everyone = np.stack([base, *models])  # [models, tensors, elements]
    # relative to a reference that is neither the base nor zero: the answer must not depend on it
    deltas = everyone - models[1]
    gram = np.einsum("ite,jte->tij", deltas, deltas)
    weights = model_stock(gram, 0, [1, 2, 3])
    assert weights.sum(axis=1) == pytest.approx(1)
    for t in range(2):
        expected = by_the_formula([model[t] for model in models], base[t])
        assert weights[t] @ everyone[:, t] == pytest.approx(expected, abs=1e-12)
    terms = [{f"t{t}": torch.from_numpy(model[t]) for t in range(2)} for model in everyone]
    span = Span.through(terms, layers={"t0": 0, "t1": 1})
    written = span.tensor("t1", weights[:, 1:]).numpy()
    assert written == pytest.approx(by_the_formula([model[1] for model in models], base[1]))


def test_the_more_models_agree_the_nearer_their_mean_the_blend_is():
    same, apart, unmoved = np.ones((2, 2)), np.eye(2), np.zeros((2, 2))
    opposite = np.array([[1.0, -1.0], [-1.0, 1.0]])  # the formula's pole
    ratios = stock_ratios(np.stack([same, apart, unmoved, opposite]))
    assert ratios.tolist() == [1.0, 0.0, 0.0, 0.0]


def test_one_model_has_no_angle():
    with pytest.raises(BadInput, match="two models, got 1"):
        stock_ratios(np.ones((1, 1, 1)))
