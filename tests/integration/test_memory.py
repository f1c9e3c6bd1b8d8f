"""A pass over models that are larger than `--memory` keeps to it."""

import sys
import time
from pathlib import Path

import pytest
import torch
from children import Child
from harness import ask
from safetensors.torch import save_file

from weightscape.answers import ListAnswer

MIB = 1 << 20


def anonymous(process: int) -> int:
    """Tell the memory that is a process's own, mapped files not counted."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_pass_over_large_models_stays_small(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    noise = torch.Generator().manual_seed(0)
    block = torch.randn(4 * MIB, generator=noise)
    whole = torch.cat([block * (1 + 0.01 * number) for number in range(8)])
    for number in range(2):
        # one tensor of 128 MiB: it must be worked through in pieces
        tensors = {"encoder.weight": whole.view(4096, -1)}
        save_file(tensors, tmp_path / "models" / f"m{number}.safetensors")
        whole[:: 4 * MIB + 3] += 1.0

    child = Child(tmp_path, "add", "models", "--memory", "64MiB", "--threads", 2)
    assert child.process.pid is not None
    seen = []
    while child.process.is_alive():
        try:
            seen.append(anonymous(child.process.pid))
        except OSError:
            break
        time.sleep(0.002)
    outcome = child.wait()

    assert outcome is not None and outcome.code == 0, outcome
    assert len(ask(ListAnswer, "list").models) == 2
    # the interpreter and its libraries were there before; the models are 256 MiB
    assert max(seen) - seen[0] < 160 * MIB, [it // MIB for it in seen]
    for file in (tmp_path / "models").iterdir():
        file.unlink()
