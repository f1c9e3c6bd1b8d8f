import pytest
import torch

from weightscape.errors import MismatchedModels
from weightscape.probing.distances import distances_from
from weightscape.probing.normalising import fit_normalising, normalise
from weightscape.probing.probex import ProbeX
from weightscape.probing.stacks import DenseStack, mean_of


def close(one, two):
    torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4)


def test_normalised_training_models_are_centred_and_of_size_one(planted):
    how, read = fit_normalising(planted.set.stack)
    assert float(read.matrices.mean(0).abs().max()) < 1e-4
    assert float(read.matrices.square().mean()) == pytest.approx(1.0, rel=1e-4)
    assert how.reduction.rows is None
    close(normalise(planted.set.stack, how).matrices, read.matrices)


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("most", [None, 9])
@pytest.mark.parametrize("sized", [True, False])
def test_products_are_read_as_the_matrices_they_stand_for(low_rank, centre, most, sized):
    products, formed = low_rank()
    how, read = fit_normalising(products, centre=centre, sized=sized, most=most)
    other, dense = fit_normalising(formed, centre=centre, sized=sized, most=most)
    assert read.shape.out == dense.shape.out
    assert read.shape.inputs == dense.shape.inputs
    assert how.reduction.kept == pytest.approx(other.reduction.kept, rel=1e-4)
    close(mean_of(products), mean_of(formed))
    probes = ProbeX(20, 24, probes=5, projection=6, width=7)
    if most is not None:
        sides = how.reduction.size(how.mean.shape)
        probes = ProbeX(*sides, probes=5, projection=6, width=7)
    with torch.no_grad():
        close(probes(read), probes(normalise(formed, how)))
    close(distances_from(how.mean, products).__array__(), distances_from(how.mean, formed))


def test_sized_models_all_have_one_size_but_the_mean_itself():
    matrices = torch.randn(5, 10, 12, generator=torch.Generator().manual_seed(0))
    matrices *= torch.tensor([1.0, 2, 3, 4, 5])[:, None, None]
    how, read = fit_normalising(DenseStack(matrices), sized=True)
    close(read.matrices.square().mean((1, 2)), torch.ones(5))
    alone = normalise(DenseStack(torch.stack([how.mean, matrices[0]])), how)
    assert float(alone.matrices[0].abs().max()) == 0.0
    close(alone.matrices[1], read.matrices[0])


def test_a_reduced_reading_is_that_of_probes_of_the_whole_layer(planted):
    how, read = fit_normalising(planted.set.stack, share=0.9, most=12)
    rows, columns = how.reduction.rows, how.reduction.columns
    assert max(read.shape.out, read.shape.inputs) <= 12
    assert 0.5 < how.reduction.kept < 1.0
    inside = ProbeX(read.shape.out, read.shape.inputs, probes=5, projection=6, width=7)
    whole = ProbeX(20, 24, probes=5, projection=6, width=7)
    whole.load_state_dict(
        {
            **inside.state_dict(),
            "probes": columns @ inside.probes,
            "projection": inside.projection @ rows.T,
        }
    )
    centred = DenseStack((planted.set.stack.matrices - how.mean) * how.scale)
    with torch.no_grad():
        close(inside(read), whole(centred))


def test_subspaces_hold_the_share_that_is_asked_for():
    drawn = torch.Generator().manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(n, 3, generator=drawn))[0] for n in (20, 24))
    inner = torch.randn(30, 3, 3, generator=drawn)
    how, read = fit_normalising(DenseStack(left @ inner @ right.T), share=0.9999, most=16)
    assert read.shape.out == read.shape.inputs == 3
    assert how.reduction.kept == pytest.approx(1.0, abs=1e-4)


def test_models_that_are_all_alike_cannot_be_learned_from():
    with pytest.raises(MismatchedModels, match="do not differ"):
        fit_normalising(DenseStack(torch.ones(4, 10, 10)))


def test_a_layer_of_another_shape_is_refused(planted):
    how, _ = fit_normalising(planted.set.stack)
    with pytest.raises(MismatchedModels, match=r"shape \[20, 25\]"):
        normalise(DenseStack(torch.zeros(1, 20, 25)), how)
