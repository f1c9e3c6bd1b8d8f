"""Spans of files: mapped without a copy, written exactly, adapters in two spaces."""

import json
import sys
from math import pi
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from weightscape.errors import BadInput
from weightscape.geometry.mapped import mapped_tensors
from weightscape.geometry.rounding import round_once
from weightscape.geometry.span import Span
from weightscape.io import open_checkpoint


def models(count: int, rows: int = 40) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        {
            "weight": torch.randn(rows, 64, generator=generator),
            "bias": torch.zeros(rows, dtype=torch.bfloat16),
        }
        for _ in range(count)
    ]


def saved(folder: Path, tensors: dict[str, Tensor], name: str) -> Path:
    (folder / name).mkdir()
    save_file(tensors, folder / name / "model.safetensors")
    return folder / name


def anonymous() -> int:
    """Tell the memory that is this process's own, mapped files not counted."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon in /proc/self/status")


def test_a_span_of_mapped_files_gives_the_same_bits(tmp_path: Path) -> None:
    whole = models(3)
    opened = [open_checkpoint(saved(tmp_path, it, f"m{number}")) for number, it in enumerate(whole)]
    span, mapped = Span.through(whole), Span.through([mapped_tensors(it) for it in opened])
    for point in ((0.0, 1.0), (0.3, -0.2)):
        one, other = nn.Linear(64, 40), nn.Linear(64, 40)
        span.write(point, one)
        mapped.write(point, other)
        assert torch.equal(one.weight, other.weight)
        assert torch.equal(span.tensors(point)["weight"], mapped.tensors(point)["weight"])


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_span_of_mapped_files_takes_no_memory_of_its_own(tmp_path: Path) -> None:
    rows = 1 << 16  # 16 MiB a model
    opened = []
    for number, tensors in enumerate(models(5, rows)):
        opened.append(open_checkpoint(saved(tmp_path, tensors, f"m{number}")))
    del tensors
    module = nn.Linear(64, rows)
    before = anonymous()
    span = Span.through([mapped_tensors(it) for it in opened])
    span.write((0.1, 0.2, 0.3, 0.4), module)
    # less than a quarter of one of the five models
    assert anonymous() - before < 4 << 20


def test_tied_names_of_a_file_are_in_the_span_and_stay_tied(tmp_path: Path) -> None:
    folder = tmp_path / "tied"
    folder.mkdir()
    table = torch.randn(4, 3)
    save_file({"table": table}, folder / "model.safetensors", metadata={"head": "table"})
    tensors = mapped_tensors(open_checkpoint(folder))
    assert list(tensors) == ["table", "head"] and "body" not in tensors and len(tensors) == 2
    with pytest.raises(KeyError):
        tensors["body"]
    made = {"table": table + 1}
    span = Span.through([tensors, {**made, "head": made["table"]}])
    written = open_checkpoint(span.export((0.5,), tmp_path / "out"))
    assert dict(written.tied) == {"head": "table"} and list(written.tensors) == ["table"]
    assert torch.equal(
        written.tensor("head"),
        (table.double() + 0.5 * ((table + 1).double() - table.double())).float(),
    )


def test_a_point_is_exported_exactly_with_its_config_and_files(tmp_path: Path) -> None:
    whole = models(3)
    span = Span.through(whole)
    point = (0.1 * pi, 0.15 * pi)
    folder = span.export(
        point,
        tmp_path / "out",
        config={"model_type": "toy"},
        extra_files={"vocab.txt": b"a\n"},
        metadata={"made_by": "a test"},
    )
    assert json.loads((folder / "config.json").read_text()) == {"model_type": "toy"}
    assert (folder / "vocab.txt").read_bytes() == b"a\n"
    read = load_file(folder / "model.safetensors")
    shares = [1 - 0.25 * pi, 0.1 * pi, 0.15 * pi]
    expected = sum(a * it["weight"].double() for a, it in zip(shares, whole, strict=True)).float()
    assert torch.equal(read["weight"], expected)
    assert read["bias"].dtype == torch.bfloat16
    assert open_checkpoint(folder).metadata["made_by"] == "a test"
    with pytest.raises(BadInput, match="holds a model already"):
        span.export(point, folder)


def test_a_bad_point_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="point"):
        Span.through(models(2)).export((0.1, 0.2), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float8_e4m3fn])
def test_rounding_to_a_narrow_type_happens_once(dtype: torch.dtype) -> None:
    bits = {torch.bfloat16: 8, torch.float16: 11, torch.float8_e4m3fn: 4}[dtype]
    # just above the middle of two neighbours, by less than float32 can tell: rounded twice it
    # would be the middle first and then go down to the even neighbour
    above = 1 + 2.0**-bits + 2.0**-40
    up = 1 + 2.0 ** (1 - bits)
    values = torch.tensor([above, -above, 1 + 2.0**-bits, 0.0, -0.0, 1e-300], dtype=torch.float64)
    assert round_once(values, dtype).double().tolist() == [up, -up, 1.0, 0.0, 0.0, 0.0]
    if dtype != torch.float8_e4m3fn:
        assert round_once(torch.tensor([1e300, -1e300], dtype=torch.float64), dtype).isinf().all()
    assert round_once(torch.tensor([float("nan")], dtype=torch.float64), dtype).float().isnan()


def test_factor_space_and_product_space_agree_at_the_ends_only(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    key = "base_model.model.layer.q"
    adapters = []
    for number in range(2):
        folder = saved_adapter(tmp_path / f"a{number}", key, generator)
        adapters.append(open_checkpoint(folder))
    base = {"layer.q.weight": torch.randn(5, 4, generator=generator), "layer.q.bias": torch.ones(5)}
    # deltas of the base: its weight stays one, theirs are the shares of the two adapters
    products = Span(base, [mapped_tensors(it) for it in adapters])
    factors = Span.through([mapped_tensors(it.stored) for it in adapters])

    def in_products(t: float) -> Tensor:
        return products.tensors((1 - t, t))["layer.q.weight"]

    def in_factors(t: float) -> Tensor:
        made = factors.tensors((t,))
        product = made[f"{key}.lora_B.weight"] @ made[f"{key}.lora_A.weight"]
        return base["layer.q.weight"] + 3.0 * product

    for end in (0.0, 1.0):
        assert torch.allclose(in_products(end), in_factors(end), atol=1e-5)
    assert (in_products(0.5) - in_factors(0.5)).abs().max() > 0.5
    assert products.names == ("layer.q.weight",)


def saved_adapter(folder: Path, key: str, generator: torch.Generator) -> Path:
    folder.mkdir()
    config = {"peft_type": "LORA", "base_model_name_or_path": "b", "r": 2, "lora_alpha": 6}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    factors = {
        f"{key}.lora_A.weight": torch.randn(2, 4, generator=generator),
        f"{key}.lora_B.weight": torch.randn(5, 2, generator=generator),
    }
    save_file(factors, folder / "adapter_model.safetensors")
    return folder
