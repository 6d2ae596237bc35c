"""Kind of a weight file, by its first bytes: what is none is refused before PyTorch is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from extractors.weights.error import WeightsError

Kind: TypeAlias = Literal["safetensors", "pytorch", "onnx", "dlib"]

MAX_BYTES = 4 * 2**30
# First bytes of what people pass by mistake, and what to tell them.
MISTAKES = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the file itself; run git lfs pull"),
    (b"<", "is a web page, not weights; the download needs a login or a confirmation"),
    (b"\x89HDF", "is HDF5, which is not read; export the network's state_dict instead"),
)
PYTORCH = (b"PK", b"\x80")  # an archive, or a pickle of before 1.6


def find_kind(path: Path, *, max_bytes: int = MAX_BYTES) -> Kind:
    """Say what a weight file looks like; only reading it tells whether it is whole.

    Raises:
        WeightsError: the file is missing, a folder, empty, too large, or of another kind.
        OSError: the file can't be read.
    """
    if not path.exists():
        raise WeightsError(f"{path} does not exist")
    if not path.is_file():
        raise WeightsError(f"{path} is not a file; name the weight file itself")
    size = path.stat().st_size
    if size == 0:
        raise WeightsError(f"{path} is empty; download it again")
    if size > max_bytes:
        raise WeightsError(f"{path} has {size} bytes; at most {max_bytes} are read")
    with path.open("rb") as stream:
        start = stream.read(64)
    if start[8:9] == b"{":  # eight bytes of header length, then a JSON object
        return "safetensors"
    if start[:1] == b"\x08":  # the version that an ONNX model begins with
        return "onnx"
    if start[4:16] == b"loss_metric_":  # after three version numbers and the text's length
        return "dlib"
    for magic, meaning in MISTAKES:
        if start.startswith(magic):
            raise WeightsError(f"{path} {meaning}")
    if not start.startswith(PYTORCH):
        raise WeightsError(
            f"{path} is no weight file of safetensors or PyTorch; it begins with {start[:8]!r}"
        )
    return "pytorch"
