"""What a device is fast at is read off its capabilities, whatever machine tests run on."""

import pytest
import torch

from weightscape.tasks.precision import multiplies_bfloat16


@pytest.mark.parametrize(
    ("able", "fast"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, True),
        ({"avx512_bf16": False, "amx_bf16": True}, True),
        ({"bf16": True}, True),  # as Arm's processors tell it
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({}, False),
    ],
)
def test_a_processor_is_fast_at_bfloat16_where_it_says_so(monkeypatch, able, fast):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    assert multiplies_bfloat16() is fast
    assert multiplies_bfloat16(torch.device("cpu")) is fast


def test_a_torch_that_tells_no_capabilities_computes_in_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert multiplies_bfloat16("cpu") is False


@pytest.mark.parametrize(("there", "native"), [(True, True), (True, False), (False, True)])
def test_a_gpu_is_fast_where_bfloat16_is_not_imitated(monkeypatch, there, native):
    def supported(including_emulation=True):
        return True if including_emulation else native

    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    # whatever the processor beside it can do
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"bf16": not native}, raising=False)
    assert multiplies_bfloat16("cuda:0") is (there and native)


def test_other_devices_are_not_known_to_be_fast():
    assert multiplies_bfloat16("mps") is False
