from __future__ import annotations

import pytest
import torch

from extractors.running import faults
from extractors.running.faults import describe_fault

ILLEGAL = "CUDA error: an illegal memory access was encountered\nFor debugging consider ..."


def test_an_error_on_a_device_that_works_is_no_fault_of_it() -> None:
    assert describe_fault(torch.AcceleratorError(ILLEGAL), "cpu") == ""
    assert describe_fault(RuntimeError("shapes differ"), "cpu") == ""
    assert describe_fault(ValueError("crops must be square, not out of memory"), "cpu") == ""


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB"),
        RuntimeError("CUDA out of memory. Tried to allocate 1 GiB"),
    ],
)
def test_a_lack_of_memory_for_the_smallest_batch_is_the_devices_fault(error: Exception) -> None:
    fault = describe_fault(error, "cpu")
    assert "cpu has too little free memory: " in str(fault)
    assert "CUDA out of memory. Tried to allocate 1 GiB\nEnd what else uses it" in str(fault)


def test_an_error_after_which_the_device_computes_nothing_is_its_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A device that fails for good can't be had here: its errors stand in for it.
    def fail(_: object) -> None:
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(faults, "try_device", fail)
    assert describe_fault(ValueError("crops must be square"), "cuda:1") == ""
    fault = describe_fault(torch.AcceleratorError(ILLEGAL), "cuda:1")
    assert str(fault).splitlines()[0] == (
        "cuda:1 computes no more: AcceleratorError: CUDA error: an illegal memory access was "
        "encountered (then AcceleratorError: CUDA error: unspecified launch failure)"
    )


def test_a_device_is_tried_by_computing_on_it() -> None:
    faults.try_device("cpu")
    with pytest.raises(RuntimeError):
        faults.try_device("meta")


def test_a_gpu_that_works_is_at_no_fault(gpu: str) -> None:
    assert describe_fault(RuntimeError("shapes differ"), gpu) == ""
