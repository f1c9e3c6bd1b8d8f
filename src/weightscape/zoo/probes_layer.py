"""The trained part of a probes zoo's text models: a BERT's last layer for its first token."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor, nn

INIT_STD = 0.02


class LastLayer(nn.Module):
    """The last layer without queries and keys, the pooler and a classifier.

    Its modules have the names of `STORED_AS`; what it computes is what transformers'
    BertForSequenceClassification computes from the features of `probes_features`.
    """

    def __init__(self, width: int, inner: int, heads: int, classes: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.value = nn.Linear(width, width)
        self.attended = nn.Linear(width, width)
        self.attended_norm = nn.LayerNorm(width, eps=eps)
        self.intermediate = nn.Linear(width, inner)
        self.output = nn.Linear(inner, width)
        self.output_norm = nn.LayerNorm(width, eps=eps)
        self.pooler = nn.Linear(width, width)
        self.classifier = nn.Linear(width, classes)

    def pooled(self, first: Tensor, mixed: Tensor) -> Tensor:
        """Give the pooled vectors [n, width] of `first` [n, width], `mixed` [n, heads, width]."""
        by_head = self.value.weight.view(self.heads, -1, self.value.in_features)
        values = torch.bmm(mixed.transpose(0, 1), by_head.transpose(1, 2))
        context = values.transpose(0, 1).flatten(1) + self.value.bias
        attended = self.attended_norm(self.attended(context) + first)
        hidden = nn.functional.gelu(self.intermediate(attended))
        out: Tensor = torch.tanh(self.pooler(self.output_norm(self.output(hidden) + attended)))
        return out

    def forward(self, first: Tensor, mixed: Tensor) -> Tensor:
        """Give logits [n, classes]."""
        logits: Tensor = self.classifier(self.pooled(first, mixed))
        return logits


STORED_AS: Mapping[str, str] = MappingProxyType(
    {
        "value": "attention.self.value",
        "attended": "attention.output.dense",
        "attended_norm": "attention.output.LayerNorm",
        "intermediate": "intermediate.dense",
        "output": "output.dense",
        "output_norm": "output.LayerNorm",
    }
)


def stored_name(parameter: str, layers: int) -> str:
    """Give the name by which a BERT of so many layers stores a parameter of its last one.

    >>> stored_name("output.weight", layers=6)
    'bert.encoder.layer.5.output.dense.weight'
    """
    module, _, part = parameter.rpartition(".")
    if module == "classifier":
        return parameter
    if module == "pooler":
        return f"bert.pooler.dense.{part}"
    return f"bert.encoder.layer.{layers - 1}.{STORED_AS[module]}.{part}"


def build_layer(config: Mapping[str, int | float], classes: int) -> LastLayer:
    """Build the part for a base's configuration, with weights yet to be filled in."""
    with torch.device("meta"):
        layer = LastLayer(
            int(config["hidden_size"]),
            int(config["intermediate_size"]),
            int(config["num_attention_heads"]),
            classes,
            float(config["layer_norm_eps"]),
        )
    return layer.to_empty(device="cpu")


def draw_layer(layer: LastLayer, seed: int) -> None:
    """Fill a part in as a fresh BERT is: normal matrices, plain norms, no biases."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in layer.modules():
            if isinstance(module, nn.Linear):
                module.weight.normal_(std=INIT_STD, generator=generator)
                module.bias.zero_()
            elif isinstance(module, nn.LayerNorm):
                module.weight.fill_(1)
                module.bias.zero_()


def renumber(layer: LastLayer, seed: int) -> tuple[Tensor, Tensor]:
    """Put the neurons of the residual stream and the heads into an order of the seed's, in place.

    Models whose every layer was drawn for themselves share no order; those that only draw a last
    layer on a common base do, and could be read by it. Gives both orders: the layer now computes
    from `first[:, order]` and `mixed[:, heads][:, :, order]` what it computed before.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(layer.value.in_features, generator=generator)
    heads = torch.randperm(layer.heads, generator=generator)
    inside = torch.arange(len(order)).view(layer.heads, -1)[heads].flatten()
    with torch.no_grad():
        for module, rows, columns in (
            (layer.value, inside, order),
            (layer.attended, order, inside),
            (layer.intermediate, None, order),
            (layer.output, order, None),
            (layer.pooler, None, order),
        ):
            if rows is not None:
                module.weight.copy_(module.weight[rows])
                module.bias.copy_(module.bias[rows])
            if columns is not None:
                module.weight.copy_(module.weight[:, columns])
        for norm in (layer.attended_norm, layer.output_norm):
            norm.weight.copy_(norm.weight[order])
            norm.bias.copy_(norm.bias[order])
    return order, heads


def fill_layer(layer: LastLayer, folder: Path, layers: int) -> None:
    """Fill a part in from a model's folder; the classifier is left as it is."""
    from weightscape.io import open_checkpoint

    stored = open_checkpoint(folder)
    prefix = "" if "pooler.dense.weight" in stored.tensors else "bert."
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if not name.startswith("classifier."):
                kept = stored_name(name, layers).removeprefix("bert.")
                parameter.copy_(stored.tensor(prefix + kept))


def layer_tensors(layer: LastLayer, layers: int) -> dict[str, Tensor]:
    """Give the part's tensors under the names that they are stored by."""
    return {stored_name(name, layers): p.detach() for name, p in layer.named_parameters()}
