"""BatchNorm statistics made anew are those of the data under the weights as they are."""

import pytest
import torch
from torch import nn

from weightscape.errors import BadInput
from weightscape.tasks.statistics import has_batch_statistics, recompute_statistics


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, momentum=0.3), nn.Dropout(0.5))


def test_statistics_are_the_averages_over_all_batches() -> None:
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randn(8, 3, generator=generator) + k for k in range(5)]
    net = network().eval()
    net[1].running_mean.fill_(100.0)
    assert recompute_statistics(net, batches, net) == 5
    seen = [net[0](batch).detach() for batch in batches]
    mean = torch.stack([it.mean(0) for it in seen]).mean(0)
    variance = torch.stack([it.var(0) for it in seen]).mean(0)
    assert torch.allclose(net[1].running_mean, mean, atol=1e-5)
    assert torch.allclose(net[1].running_var, variance, atol=1e-5)


def test_modes_and_momenta_are_as_before_and_dropout_stays_off() -> None:
    net = network().eval()
    outputs = []
    recompute_statistics(net, [torch.ones(4, 3)] * 2, lambda batch: outputs.append(net(batch)))
    assert torch.equal(outputs[0], outputs[1])
    assert not any(part.training for part in net.modules()) and net[1].momentum == 0.3
    net.train()
    net[1].eval()
    with pytest.raises(ZeroDivisionError):
        recompute_statistics(net, [torch.ones(4, 3)], lambda _: 1 / 0)
    assert net[0].training and not net[1].training and net[1].momentum == 0.3


def test_no_data_is_refused_and_leaves_the_statistics() -> None:
    net = network()
    net[1].running_mean.fill_(5.0)
    with pytest.raises(BadInput, match="at least one batch"):
        recompute_statistics(net, [], net)
    assert (net[1].running_mean == 5.0).all()


def test_a_network_without_statistics_is_not_run() -> None:
    for net in (nn.Linear(2, 2), nn.LayerNorm(2), nn.BatchNorm1d(2, track_running_stats=False)):
        assert not has_batch_statistics(net)
        assert recompute_statistics(net, iter([None]), lambda _: 1 / 0) == 0
    assert has_batch_statistics(network())
