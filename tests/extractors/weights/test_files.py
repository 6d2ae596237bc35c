from __future__ import annotations

import contextlib
import io
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from extractors.weights import files as weight_files
from extractors.weights.files import WeightsError, read_weight_file

TENSORS = {"conv.weight": torch.arange(6.0).view(2, 3), "conv.bias": torch.tensor([5.0, 7.0])}


def saved(folder: Path, content: Any, **options: Any) -> Path:
    path = folder / "weights.pth"
    torch.save(content, path, **options)
    return path


def names_and_values(path: Path) -> dict[str, list[float]]:
    tensors = read_weight_file(path).tensors
    return {name: value.read().reshape(-1).tolist() for name, value in tensors.items()}


EXPECTED = {"conv.weight": [0, 1, 2, 3, 4, 5], "conv.bias": [5, 7]}


@pytest.mark.parametrize("legacy", [False, True])
def test_a_state_dict_of_pytorch_is_read_in_both_its_formats(tmp_path: Path, legacy: bool) -> None:
    path = saved(tmp_path, TENSORS, _use_new_zipfile_serialization=not legacy)
    assert names_and_values(path) == EXPECTED
    assert read_weight_file(path).kind == "pytorch"


def test_safetensors_is_recognised_by_content_and_keeps_its_metadata(tmp_path: Path) -> None:
    path = tmp_path / "misnamed.pth"
    save_file(TENSORS, path, metadata={"network": "ir50"})
    assert names_and_values(path) == EXPECTED
    file = read_weight_file(path)
    assert (file.kind, file.metadata, file.unwrapped) == ("safetensors", {"network": "ir50"}, ())


@pytest.mark.parametrize(
    ("wrap", "unwrapped"),
    [
        (lambda t: {"state_dict": t, "epoch": 5, "best_acc": torch.tensor(0.9)}, ("state_dict",)),
        (lambda t: {"module." + k: v for k, v in t.items()}, ("module.",)),
        (
            lambda t: {"state_dict": {"module.model." + k: v for k, v in t.items()}},
            ("state_dict", "module.", "model."),
        ),
        (lambda t: {"model": {"state_dict": t}, "optimizer": {"lr": 0.1}}, ("model", "state_dict")),
        (lambda t: {"model_state_dict": t}, ("model_state_dict",)),
        (lambda t: {k: nn.Parameter(v) for k, v in t.items()}, ()),
    ],
)
def test_a_training_checkpoint_is_unwrapped(
    tmp_path: Path, wrap: Any, unwrapped: tuple[str, ...]
) -> None:
    path = saved(tmp_path, wrap(TENSORS))
    assert names_and_values(path) == EXPECTED
    assert read_weight_file(path).unwrapped == unwrapped


def test_a_prefix_that_only_some_names_share_stays(tmp_path: Path) -> None:
    path = saved(tmp_path, {"module.a": torch.ones(1), "b": torch.ones(1)})
    assert set(read_weight_file(path).tensors) == {"module.a", "b"}


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_with_a_payload_is_refused_and_the_payload_is_not_run(
    tmp_path: Path, legacy: bool
) -> None:
    target = tmp_path / "ran"
    content = {"state_dict": TENSORS, "extra": Payload(target)}
    path = saved(tmp_path, content, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(WeightsError, match=r"holds Python objects .*system.* none of it was run"):
        read_weight_file(path)
    assert not target.exists()
    pickle.loads(pickle.dumps(Payload(target)))  # noqa: S301  # it would have run
    assert target.exists()


def test_a_plain_pickle_with_a_payload_is_refused_too(tmp_path: Path) -> None:
    target = tmp_path / "ran"
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps(Payload(target)))
    with pytest.raises(WeightsError, match="is no weight file"):
        read_weight_file(path)
    assert not target.exists()


def test_a_whole_pickled_network_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = saved(tmp_path, nn.Linear(2, 3))
    with pytest.raises(WeightsError, match=r"Linear.*save its state_dict\(\) alone"):
        read_weight_file(path)


def test_a_text_that_reads_like_an_old_pickle_is_no_weight_file(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text("clip,path,label\na,a.mp4,happy\n")
    with pytest.raises(WeightsError, match=r"no weight file of .* it begins with b.clip,pat"):
        read_weight_file(path)


def test_numpy_arrays_need_unpickling_and_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, {"conv.weight": np.ones(3)})
    with pytest.raises(WeightsError, match="holds Python objects beside tensors"):
        read_weight_file(path)


def test_a_torchscript_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "program.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("program/constants.pkl", b"")
        archive.writestr("program/data.pkl", b"")
    with pytest.raises(WeightsError, match="is a TorchScript program"):
        read_weight_file(path)


def check_refused(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        read_weight_file(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; download it again"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>sign in</html>", "is a web page"),
        (b"\x08\x08\x12\x07pytorch", "weights.pth is no ONNX model: expected one graph"),
        (b"\x89HDF\r\n\x1a\n" + bytes(80), "is HDF5"),
        (b"PK\x03\x04" + bytes(60), "cut off or damaged"),
        (b"just some text, nothing else", "is no weight file of safetensors or PyTorch"),
        (bytes(1000), "is no weight file of safetensors or PyTorch"),
        (b"\x80\x02" + bytes(100), "is no weight file of safetensors or PyTorch"),
    ],
)
def test_a_file_of_another_kind_is_refused_with_its_kind(
    tmp_path: Path, content: bytes, message: str
) -> None:
    check_refused(tmp_path / "weights.pth", content, message)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.pth does not exist"):
        read_weight_file(tmp_path / "none.pth")
    with pytest.raises(WeightsError, match="is not a file; name the weight file itself"):
        read_weight_file(tmp_path)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_off_is_refused(tmp_path: Path, kept: float) -> None:
    tensors = {"weight": torch.rand(50, 50)}
    whole = saved(tmp_path, tensors)
    save_file(tensors, tmp_path / "whole.safetensors")
    for path in (whole, tmp_path / "whole.safetensors"):
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * kept)])
        with pytest.raises(WeightsError, match=r"cut off|damaged|not a valid safetensors"):
            read_weight_file(path)


def safetensors_with(header: bytes, *, length: int | None = None, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            safetensors_with(b"{}" + b" " * 6, length=2**60),
            "claims a header of 1152921504606846976",
        ),
        (safetensors_with(b"{}" + b" " * 6, length=9), "claims a header of 9 bytes, but 8"),
        (safetensors_with(b"{not json}"), "not a valid safetensors file"),
        (
            safetensors_with(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'),
            "not a valid safetensors file",
        ),
        (
            safetensors_with(
                b'{"a":{"dtype":"F32","shape":[1000000],"data_offsets":[0,4]}}', data=bytes(4)
            ),
            "not a valid safetensors file",
        ),
        (
            safetensors_with(
                b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
                b'"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}',
                data=bytes(6),
            ),
            "not a valid safetensors file",
        ),
        (safetensors_with(b"{}"), "holds no tensors by name"),
    ],
)
def test_a_false_safetensors_header_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    check_refused(tmp_path / "weights.safetensors", content, message)


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    path = saved(tmp_path, TENSORS)
    with pytest.raises(WeightsError, match="at most 100 are read"):
        read_weight_file(path, max_bytes=100)


def test_an_archive_that_unpacks_to_too_much_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data/0", bytes(3_000_000))
        archive.writestr("bomb/data.pkl", bytes(2_000))
    with pytest.raises(WeightsError, match="unpacks to 2 parts of 3002000 bytes; at most"):
        read_weight_file(path, max_bytes=1_000_000)
    monkeypatch.setattr(weight_files, "MAX_PICKLE_BYTES", 1_000)
    with pytest.raises(WeightsError, match="describes its tensors in 2000 bytes"):
        read_weight_file(path)
    monkeypatch.setattr(weight_files, "MAX_TENSORS", 1)
    with pytest.raises(WeightsError, match="unpacks to 2 parts"):
        read_weight_file(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "got a dictionary with nothing"),
        ({"epoch": 5, "lr": 0.1}, "got a dictionary with 'epoch', 'lr'"),
        ([torch.ones(2)], "got list"),
        (torch.ones(2), "got Tensor"),
        ({"state_dict": {"epoch": 1}}, "got a dictionary with 'epoch'"),
        ({0: torch.ones(2)}, "names a tensor '0': expected plain text"),
        ({"a\x1b[2Jb": torch.ones(2)}, r"names a tensor 'a\\x1b\[2Jb': expected plain text"),
        ({"a" * 301: torch.ones(2)}, "expected plain text"),
        ({"a": torch.eye(3).to_sparse()}, "a is sparse or quantized"),
    ],
)
def test_content_that_is_no_state_dict_is_refused(
    tmp_path: Path, content: Any, message: str
) -> None:
    with pytest.raises(WeightsError, match=message):
        read_weight_file(saved(tmp_path, content))


def test_a_checkpoint_that_holds_itself_is_refused(tmp_path: Path) -> None:
    content: dict[str, Any] = {}
    content["state_dict"] = content
    with pytest.raises(WeightsError, match="holds no tensors by name"):
        read_weight_file(saved(tmp_path, content))


def test_damage_anywhere_ends_in_a_refusal_or_in_tensors(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"state_dict": TENSORS}, buffer)
    whole = buffer.getvalue()
    generator = np.random.default_rng(11)
    path = tmp_path / "weights.pth"
    for _ in range(60):
        damaged = bytearray(whole)
        for place in generator.integers(0, len(whole), 5):
            damaged[place] = generator.integers(0, 256)
        path.write_bytes(damaged)
        with contextlib.suppress(WeightsError):
            assert read_weight_file(path).tensors
