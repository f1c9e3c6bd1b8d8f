"""A vision transformer small enough that a base is trained while one waits."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

WIDTH = 48
DEPTH = 2
HEADS = 4
PATCHES = 16  # 8 x 8 pixels, cut into patches of 2 x 2
DROPOUT = 0.05


class Embeddings(nn.Module):
    """Patches, a class token and learned positions."""

    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, 1, WIDTH) * 0.02)
        self.position_embeddings = nn.Parameter(torch.randn(1, PATCHES + 1, WIDTH) * 0.02)
        self.projection = nn.Linear(4, WIDTH)

    def forward(self, images: Tensor) -> Tensor:
        """Embed images [n, 8, 8] as tokens [n, 17, width]."""
        patches = images.unfold(1, 2, 2).unfold(2, 2, 2).reshape(len(images), PATCHES, 4)
        tokens = torch.cat(
            [self.cls_token.expand(len(images), -1, -1), self.projection(patches)], 1
        )
        return tokens + self.position_embeddings


class Layer(nn.Module):
    """A pre-norm transformer layer."""

    def __init__(self) -> None:
        super().__init__()
        self.norm_before = nn.LayerNorm(WIDTH)
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key = nn.Linear(WIDTH, WIDTH)
        self.value = nn.Linear(WIDTH, WIDTH)
        self.attention_output = nn.Linear(WIDTH, WIDTH)
        self.norm_after = nn.LayerNorm(WIDTH)
        self.intermediate = nn.Linear(WIDTH, 2 * WIDTH)
        self.output = nn.Linear(2 * WIDTH, WIDTH)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, tokens: Tensor) -> Tensor:
        """Attend, then transform each token."""
        normed = self.norm_before(tokens)
        query, key, value = (
            part(normed).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        attended = nn.functional.scaled_dot_product_attention(query, key, value)
        mixed = attended.transpose(1, 2).flatten(2)
        tokens = tokens + self.dropout(self.attention_output(mixed))
        hidden = nn.functional.gelu(self.intermediate(self.norm_after(tokens)))
        out: Tensor = tokens + self.dropout(self.output(hidden))
        return out


class Backbone(nn.Module):
    """Everything but the head."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = Embeddings()
        self.layer = nn.ModuleList([Layer() for _ in range(DEPTH)])
        self.layernorm = nn.LayerNorm(WIDTH)

    def forward(self, images: Tensor) -> Tensor:
        """Give the class token's features [n, width]."""
        tokens = self.embeddings(images)
        for layer in self.layer:
            tokens = layer(tokens)
        features: Tensor = self.layernorm(tokens[:, 0])
        return features


class DigitsViT(nn.Module):
    """A classifier of 8 x 8 images: 44 thousand weights, most of them in matrices."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.vit = Backbone()
        self.classifier = nn.Linear(WIDTH, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Give logits [n, classes]."""
        logits: Tensor = self.classifier(self.vit(images))
        return logits


class LowRank(nn.Module):
    """A trainable product B A beside a frozen matrix: W + scale B A."""

    def __init__(self, weight: Tensor, rank: int, scale: float) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.randn(rank, weight.shape[1]) / math.sqrt(weight.shape[1]))
        self.b = nn.Parameter(torch.zeros(weight.shape[0], rank))
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        """Add the product to the weight."""
        return weight + self.scale * (self.b @ self.a)


def adapted_modules(model: DigitsViT) -> Iterator[tuple[str, nn.Linear]]:
    """Give the matrices that a LoRA adapts: queries and values, as peft does for transformers."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and name.rpartition(".")[2] in ("query", "value"):
            yield name, module


def add_low_rank(model: DigitsViT, *, rank: int, scale: float) -> None:
    """Freeze the backbone and put low-rank factors on queries and values."""
    model.vit.requires_grad_(False)
    for _, module in list(adapted_modules(model)):
        factors = LowRank(module.weight, rank, scale)
        parametrize.register_parametrization(module, "weight", factors)


def adapter_tensors(model: DigitsViT) -> dict[str, Tensor]:
    """Give the factors and the head under the names that peft stores them by."""
    out = {}
    for name, module in _low_rank_modules(model):
        out[f"base_model.model.{name}.lora_A.weight"] = module.a.detach()
        out[f"base_model.model.{name}.lora_B.weight"] = module.b.detach()
    for name, tensor in model.classifier.state_dict().items():
        out[f"base_model.model.classifier.{name}"] = tensor
    return out


def merge_low_rank(model: DigitsViT) -> None:
    """Take the products into the weights; the factors are gone afterwards."""
    for _, module in list(adapted_modules(model)):
        parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)


def _low_rank_modules(model: DigitsViT) -> Iterator[tuple[str, LowRank]]:
    for name, module in adapted_modules(model):
        factors = module.parametrizations.weight[0]  # type: ignore[union-attr, index]
        assert isinstance(factors, LowRank)
        yield name, factors
