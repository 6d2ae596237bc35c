"""Devices by name."""

from __future__ import annotations

import pytest
import torch

from extractors.running.device import HALF, check_precision, choose_device, may_have_gpu


def test_auto_is_a_device_of_this_machine() -> None:
    assert choose_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == "cpu"


@pytest.mark.parametrize("name", ["toaster", "cuda:-1", "cuda:x", "cpu:0", "CUDA", ""])
def test_what_names_no_device_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected auto, cpu, cuda or cuda:N"):
        choose_device(name)


def test_a_gpu_that_is_not_there_is_refused() -> None:
    count = torch.cuda.device_count()
    with pytest.raises(ValueError, match=rf"cuda:{count}: (PyTorch sees|there are).* CUDA devices"):
        choose_device(f"cuda:{count}")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_machine_with_a_gpu_is_never_refused_without_asking() -> None:
    assert may_have_gpu()


def test_half_precision_is_refused_where_the_processor_has_no_instructions_for_it() -> None:
    """As this processor really is, whichever that may be."""
    has = torch.cpu.get_capabilities()
    for precision, sets in HALF.items():
        if any(has.get(name) for name in sets):
            check_precision(precision, "cpu")
        else:
            with pytest.raises(ValueError, match=rf"{precision}: this processor .* has none of"):
                check_precision(precision, "cpu")


def test_another_processor_is_asked_for_its_own_instructions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The answer of PyTorch is replaced: processors of every kind can't be had."""
    cases = [
        ({}, "bfloat16", False),
        ({"avx512_f": True, "avx512_bf16": False}, "bfloat16", False),
        ({"avx512_bf16": True}, "bfloat16", True),
        ({"amx_bf16": True}, "bfloat16", True),
        ({"bf16": True}, "bfloat16", True),
        ({"avx512_bf16": True, "amx_bf16": True}, "float16", False),
        ({"avx512_fp16": True}, "float16", True),
        ({"fp16_arith": True, "bf16": True}, "float16", False),
        ({}, "float32", True),
    ]
    for has, precision, good in cases:
        answer = {"cpu_name": "Some Processor 7", **has}
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda answer=answer: answer)
        check_precision(precision, "cuda:1")  # a GPU computes there, whatever stands beside it
        if good:
            check_precision(precision, "cpu")
            continue
        with pytest.raises(
            ValueError, match=r"\(Some Processor 7\) has none of .*float32, or a GPU"
        ):
            check_precision(precision, "cpu")
