import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weightscape.tasks.logistic import UNSEEN, Part, fit_logistic
from weightscape.tasks.probe import STRENGTHS, fit_probe


def wide(rows, width, labels, *, apart=1.0, seed=0):
    generator = np.random.default_rng(seed)
    y = np.arange(rows) % labels
    centres = generator.normal(size=(labels, width)) * apart
    return centres[y] + generator.normal(size=(rows, width)), y


def by_scikit_learn(x, y, strength, labels):
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=1 / strength, solver="newton-cg", tol=1e-9, max_iter=200)
    fitted.fit(x, y)
    coefficients, intercepts = fitted.coef_, fitted.intercept_
    if len(fitted.classes_) == 2:
        coefficients = np.concatenate([-coefficients / 2, coefficients / 2])
        intercepts = np.concatenate([-intercepts / 2, intercepts / 2])
    weight, bias = np.zeros((labels, x.shape[1])), np.full(labels, UNSEEN)
    weight[fitted.classes_] = coefficients
    bias[fitted.classes_] = intercepts - intercepts.mean()
    return weight, bias


@settings(deadline=None, max_examples=6)
@given(
    labels=st.integers(2, 5),
    strength=st.sampled_from((1000.0, 10.0, 1.0)),
    apart=st.sampled_from((0.0, 0.3, 3.0)),
    seed=st.integers(0, 99),
)
def test_the_optimum_is_scikit_learns(labels, strength, apart, seed):
    x, y = wide(24, 40, labels, apart=apart, seed=seed)
    ((found,),) = fit_logistic([Part(x, y)], [strength], labels, tolerance=1e-8)
    for mine, theirs in zip(found, by_scikit_learn(x, y, strength, labels), strict=True):
        assert np.allclose(mine, theirs, atol=1e-5)


def test_parts_do_not_see_one_another():
    x, y = wide(30, 50, 4)
    several = [Part(x[:20], y[:20]), Part(x[5:], y[5:]), Part(x[y < 2], y[y < 2])]
    together = fit_logistic(several, STRENGTHS, 4, tolerance=1e-9)
    alone = [fit_logistic([part], STRENGTHS, 4, tolerance=1e-9) for part in several]
    for strength, heads in zip(STRENGTHS, together, strict=True):
        for head, other, part in zip(heads, alone, several, strict=True):
            (wanted,) = next(other)
            assert np.allclose(head[0], wanted[0], atol=1e-5)
            assert np.allclose(head[1], wanted[1], atol=1e-5)
            if strength >= 1:
                assert np.allclose(
                    head[0], by_scikit_learn(part.x, part.y, strength, 4)[0], atol=1e-5
                )


def test_rows_that_are_alike_or_nothing():
    x, y = wide(20, 30, 2)
    x[10:] = x[:10]  # of rank 10, and with two labels for some rows
    ((head,),) = fit_logistic([Part(x, y)], [1.0], 2, tolerance=1e-8)
    assert np.allclose(head[0], by_scikit_learn(x, y, 1.0, 2)[0], atol=1e-5)
    ((nothing,),) = fit_logistic(
        [Part(np.zeros((6, 9)), np.array([0, 1] * 3))], [1.0], 2, tolerance=1e-8
    )
    assert np.allclose(nothing[0], 0)
    assert np.isfinite(nothing[1]).all()


@pytest.mark.parametrize("labels", [2, 6])
def test_cross_validation_chooses_what_exact_fits_choose(labels):
    from sklearn.model_selection import StratifiedKFold

    for seed in range(3):
        x, y = wide(60, 80, labels, apart=0.4, seed=seed)
        losses = np.zeros(len(STRENGTHS))
        for fitted, left in StratifiedKFold(4, shuffle=True, random_state=0).split(x, y):
            mean, spread = x[fitted].mean(0), x[fitted].std(0)
            for i, strength in enumerate(STRENGTHS):
                weight, bias = by_scikit_learn(
                    (x[fitted] - mean) / spread, y[fitted], strength, labels
                )
                logits = (x[left] - mean) / spread @ weight.T + bias
                logs = logits - np.logaddexp.reduce(logits, 1, keepdims=True)
                losses[i] -= logs[np.arange(len(left)), y[left]].sum()
        found = fit_probe(x, y, x, y, label_count=labels)
        assert found.regularisation == STRENGTHS[int(losses.argmin())]
