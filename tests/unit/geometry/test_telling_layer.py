"""Which layer is read of a model that is far away."""

import pytest

from weightscape.geometry.align import Backbone
from weightscape.geometry.telling_layer import telling_layer


def outlined(shapes):
    """Name what a model stores as a wrapper would."""
    return Backbone({name: f"model.{name}" for name in shapes}, shapes)


def blocks(number, parts, stack="layers."):
    return {f"{stack}{k}.{part}": shape for k in range(number) for part, shape in parts.items()}


SQUARE = (64, 64)


@pytest.mark.parametrize(
    ("shapes", "chosen"),
    [
        (
            blocks(
                6,
                {
                    "attention.self.query.weight": SQUARE,
                    "attention.self.value.weight": SQUARE,
                    "output.dense.weight": (64, 256),
                },
                "encoder.layer.",
            ),
            "encoder.layer.4.attention.self.value.weight",
        ),
        (
            blocks(32, {"self_attn.q_proj.weight": SQUARE, "self_attn.v_proj.weight": (16, 64)}),
            "layers.23.self_attn.v_proj.weight",
        ),
        (
            {"wte.weight": (999, 64)}
            | blocks(12, {"attn.c_attn.weight": (64, 192), "mlp.c_fc.weight": (64, 256)}, "h."),
            "h.8.attn.c_attn.weight",
        ),
        (
            blocks(4, {"layer.0.SelfAttention.v.weight": SQUARE}, "encoder.block.")
            | blocks(8, {"layer.1.EncDecAttention.v.weight": SQUARE}, "decoder.block."),
            "decoder.block.5.layer.1.EncDecAttention.v.weight",
        ),
        (
            {"conv1.weight": (64, 3, 7, 7)}
            | blocks(
                2, {"conv1.weight": (64, 64, 3, 3), "conv2.weight": (32, 64, 3, 3)}, "layer4."
            ),
            "layer4.1.conv1.weight",
        ),
        ({"embed.weight": (999, 64), "up.weight": (64, 32), "down.weight": (8, 64)}, "up.weight"),
    ],
)
def test_one_matrix_is_chosen_by_names_and_shapes(shapes, chosen):
    found = telling_layer(outlined(shapes))
    assert found == (f"model.{chosen}",)
    assert telling_layer(outlined(dict(reversed(shapes.items())))) == found


def test_vectors_of_its_block_come_along_as_long_as_they_are_small():
    shapes = blocks(4, {"v.weight": SQUARE, "v.bias": (64,), "norm.weight": (64,), "big": (4096,)})
    found = telling_layer(outlined(shapes))
    assert found == (
        "model.layers.2.v.weight",
        "model.layers.2.norm.weight",
        "model.layers.2.v.bias",
    )


def test_what_has_no_matrix_of_a_size_to_read_gives_none():
    assert telling_layer(outlined({"w": (1 << 20, 1 << 10), "b": (8,)})) == ()
    assert telling_layer(outlined({})) == ()
