"""Devices by name."""

from __future__ import annotations

import pytest
import torch

from extractors.running.device import choose_device


def test_auto_is_a_device_of_this_machine() -> None:
    assert choose_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == "cpu"


@pytest.mark.parametrize("name", ["toaster", "cuda:-1", "cuda:x", "cpu:0", "CUDA", ""])
def test_what_names_no_device_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected auto, cpu, cuda or cuda:N"):
        choose_device(name)


def test_a_gpu_that_is_not_there_is_refused() -> None:
    count = torch.cuda.device_count()
    with pytest.raises(ValueError, match=f"cuda:{count}: PyTorch sees {count} CUDA devices"):
        choose_device(f"cuda:{count}")
