"""Weight files: read tensors, and only tensors, out of what was downloaded from somewhere."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from extractors.weights.onnx_graph import OnnxError
from extractors.weights.onnx_iresnet50 import read_iresnet50

MAX_BYTES = 4 * 2**30
MAX_HEADER_BYTES = 16 * 2**20
MAX_PICKLE_BYTES = 64 * 2**20
MAX_TENSORS = 100_000
MAX_DEPTH = 4
MAX_NAME = 300
# Where training scripts put the parameters, in the order in which they are looked for.
CONTAINERS = ("state_dict", "model_state_dict", "model", "net", "backbone", "weights", "params")
PREFIXES = ("module.", "model.", "net.", "backbone.", "encoder.", "_orig_mod.")
# First bytes of what people pass by mistake, and what to tell them.
MISTAKES = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the file itself; run git lfs pull"),
    (b"<", "is a web page, not weights; the download needs a login or a confirmation"),
    (b"\x89HDF", "is HDF5, which is not read; export the network's state_dict instead"),
)


class WeightsError(ValueError):
    """A weight file can't be read safely, or does not fit the network; the text says why."""


@dataclass(frozen=True)
class WeightFile:
    """The tensors of one file.

    Attributes:
        path: the file.
        kind: ``safetensors``, ``pytorch`` or ``onnx``.
        tensors: parameter name to tensor, on the CPU, prefixes that all names share removed.
        unwrapped: the dictionary keys and the prefixes that were taken off, outermost first.
        metadata: what a safetensors file says of itself.
    """

    path: Path
    kind: str
    tensors: Mapping[str, Tensor]
    unwrapped: tuple[str, ...]
    metadata: Mapping[str, str]


def read_weight_file(path: Path, *, max_bytes: int = MAX_BYTES) -> WeightFile:
    """Read the tensors of a safetensors, PyTorch or ONNX file; the content decides which it is.

    Nothing but tensors is unpickled: a file that holds another object is refused and none of it
    is run. A training checkpoint (``state_dict`` and its kin, ``module.``) is unwrapped. Of ONNX,
    InsightFace's iresnet50 is read, under the names of its ``.pth``.

    Args:
        path: the file.
        max_bytes: of the file, and of what it unpacks to.

    Raises:
        WeightsError: the file is missing, a folder, empty, too large, of another kind, damaged,
            holds anything that needs unpickling beside tensors, or holds no tensor.
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
    metadata: dict[str, str] = {}
    if start[8:9] == b"{":  # eight bytes of header length, then a JSON object
        content, metadata = read_safetensors(path)
        kind = "safetensors"
    elif start[:1] == b"\x08":  # the version that an ONNX model begins with
        try:
            content = read_iresnet50(path.read_bytes())
        except OnnxError as error:
            raise WeightsError(f"{path} {error}") from error
        kind = "onnx"
    else:
        for magic, meaning in MISTAKES:
            if start.startswith(magic):
                raise WeightsError(f"{path} {meaning}")
        content = read_pytorch(path, start, max_bytes)
        kind = "pytorch"
    tensors, unwrapped = unwrap(content, path)
    return WeightFile(path, kind, tensors, unwrapped, metadata)


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file; its library checks names, shapes and offsets against the file."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
    available = path.stat().st_size - 8
    if length > min(MAX_HEADER_BYTES, available):
        raise WeightsError(
            f"{path} claims a header of {length} bytes, but {min(MAX_HEADER_BYTES, available)} "
            "are the most it can have; it is cut off or damaged"
        )
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path} is no sound safetensors file: {error}") from error


def read_pytorch(path: Path, start: bytes, max_bytes: int) -> Any:
    """Read what torch.save wrote, tensors only."""
    if start.startswith(b"PK"):
        check_archive(path, max_bytes)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old storage classes; nothing a reader can act on
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a damaged or hostile stream fails in any way
        match = re.search(r"GLOBAL ([\w.]+)", str(error))
        if match:
            raise WeightsError(
                f"{path} holds Python objects beside tensors ({match[1]}); it was refused and none "
                "of it was run. Where you trust it, load it there and save its state_dict() alone"
            ) from None
        # Not its text: torch advises to unpickle everything.
        raise WeightsError(
            f"{path} is no weight file of safetensors or PyTorch, or it is cut off or damaged "
            f"({type(error).__name__})"
        ) from error


def check_archive(path: Path, max_bytes: int) -> None:
    """Refuse an archive that unpacks to too much, or that holds code."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise WeightsError(f"{path} is cut off or damaged: {error}") from error
    unpacked = sum(entry.file_size for entry in entries)
    if len(entries) > MAX_TENSORS or unpacked > max_bytes:
        raise WeightsError(
            f"{path} unpacks to {len(entries)} parts of {unpacked} bytes; at most {MAX_TENSORS} "
            f"parts of {max_bytes} bytes are read"
        )
    for entry in entries:
        name = entry.filename.rpartition("/")[2]
        if name == "constants.pkl":
            raise WeightsError(
                f"{path} is a TorchScript program; save the state_dict() of its module instead"
            )
        if name == "data.pkl" and entry.file_size > MAX_PICKLE_BYTES:
            raise WeightsError(
                f"{path} describes its tensors in {entry.file_size} bytes; at most "
                f"{MAX_PICKLE_BYTES} are read"
            )


def unwrap(content: Any, path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Find the parameters in a checkpoint and take off the prefixes that all of them share.

    Returns:
        The tensors by name, and the keys and prefixes that were taken off, outermost first.

    Raises:
        WeightsError: there is no dictionary of tensors, or a tensor is sparse or quantized.
    """
    unwrapped: list[str] = []
    # First the known keys: a checkpoint may have tensors of its own, such as its best accuracy.
    while isinstance(content, Mapping) and len(unwrapped) < MAX_DEPTH:
        inner = [key for key in CONTAINERS if isinstance(content.get(key), Mapping)]
        if not inner:
            break
        unwrapped.append(inner[0])
        content = content[inner[0]]
    if not isinstance(content, Mapping) or not holds_tensors(content):
        what = type(content).__name__
        if isinstance(content, Mapping):
            what = f"a dictionary with {', '.join(map(repr, list(content)[:10])) or 'nothing'}"
        raise WeightsError(
            f"{path} holds no tensors by name: expected a state_dict, or one under "
            f"{', '.join(CONTAINERS)}, got {what}"
        )
    tensors = {key: value.detach() for key, value in content.items() if isinstance(value, Tensor)}
    for name, tensor in tensors.items():
        # Names end up in messages, where a hostile one could move the terminal's cursor.
        if not isinstance(name, str) or not name.isprintable() or len(name) > MAX_NAME:
            raise WeightsError(f"{path} names a tensor {str(name)[:40]!r}: expected plain text")
        if tensor.layout != torch.strided or tensor.is_quantized:
            raise WeightsError(f"{path}: {name} is sparse or quantized; only dense ones are read")
    stripping = True
    while stripping:
        stripping = False
        for prefix in PREFIXES:
            if all(name.startswith(prefix) and name != prefix for name in tensors):
                tensors = {name[len(prefix) :]: tensor for name, tensor in tensors.items()}
                unwrapped.append(prefix)
                stripping = True
    return tensors, tuple(unwrapped)


def holds_tensors(content: Mapping[Any, Any]) -> bool:
    """Whether any value is a tensor."""
    return any(isinstance(value, Tensor) for value in content.values())
