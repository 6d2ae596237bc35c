"""Weight files: find tensors, and only tensors, in what was downloaded from somewhere."""

from __future__ import annotations

import json
import mmap
import re
import sys
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from extractors.weights.dlib_file import read_resnet29
from extractors.weights.kind import MAX_BYTES, Kind, find_kind
from extractors.weights.onnx_graph import OnnxError
from extractors.weights.onnx_iresnet50 import read_iresnet50
from extractors.weights.tensors import LazyTensor, WeightsError, in_file, in_memory

__all__ = ["WeightFile", "WeightsError", "read_safetensors", "read_weight_file"]

MAX_HEADER_BYTES = 16 * 2**20
MAX_PICKLE_BYTES = 64 * 2**20
MAX_DLIB_BYTES = 64 * 2**20
MAX_TENSORS = 100_000
MAX_DEPTH = 4
NAME_LENGTH_AT = 26  # byte of a zip entry's header; then the extra field's, name, extra field
MAX_NAME = 300
T = TypeVar("T", Tensor, LazyTensor)
# Where training scripts put the parameters, in the order in which they are looked for.
CONTAINERS = ("state_dict", "model_state_dict", "model", "net", "backbone", "weights", "params")
PREFIXES = ("module.", "model.", "net.", "backbone.", "encoder.", "_orig_mod.")


@dataclass(frozen=True)
class WeightFile:
    """The tensors of one file, of which only types, shapes and places have been read.

    Attributes:
        path: the file.
        kind: see ``find_kind``.
        tensors: parameter name to tensor, prefixes that all names share removed.
        unwrapped: the dictionary keys and the prefixes that were taken off, outermost first.
        metadata: what a safetensors file says of itself.
    """

    path: Path
    kind: Kind
    tensors: Mapping[str, LazyTensor]
    unwrapped: tuple[str, ...]
    metadata: Mapping[str, str]


def read_weight_file(path: Path, *, max_bytes: int = MAX_BYTES) -> WeightFile:
    """Find the tensors of a safetensors, PyTorch, ONNX or dlib file; its content decides which.

    Nothing but tensors is unpickled: a file that holds another object is refused and none of it
    is run. A training checkpoint (``state_dict`` and its kin, ``module.``) is unwrapped. Of ONNX,
    InsightFace's iresnet50 is read, under the names of its ``.pth``; of dlib, its face recognition
    network.

    Values are read when they are asked for; only files whose values don't lie in them as they are
    (PyTorch's format before 1.6, compressed ones) are loaded at once.

    Args:
        path: the file.
        max_bytes: of the file, and of what it unpacks to.

    Raises:
        WeightsError: the file is missing, a folder, empty, too large, of another kind, damaged,
            holds anything that needs unpickling beside tensors, or holds no tensor.
        OSError: the file can't be read.
    """
    kind = find_kind(path, max_bytes=max_bytes)
    if kind == "safetensors":
        content, metadata = read_safetensors(path)
        return WeightFile(path, kind, *unwrap(content, path, LazyTensor), metadata)
    if kind == "onnx":
        return WeightFile(path, kind, *unwrap(read_onnx(path), path, LazyTensor), {})
    if kind == "dlib":
        return WeightFile(path, kind, read_dlib(path), (), {})
    return WeightFile(path, kind, *read_pytorch(path, max_bytes), {})


def read_safetensors(path: Path) -> tuple[dict[str, LazyTensor], dict[str, str]]:
    """Read a safetensors file's header.

    The library checks names, shapes and offsets against the file, and maps types to PyTorch's.

    Returns:
        The tensors, and what the file says of itself.

    Raises:
        WeightsError: the file is damaged.
        OSError: it can't be read.
    """
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        available = path.stat().st_size - 8
        if length > min(MAX_HEADER_BYTES, available):
            raise WeightsError(
                f"{path} claims a header of {length} bytes, but "
                f"{min(MAX_HEADER_BYTES, available)} are the most it can have; it is cut off or "
                "damaged"
            )
        header = stream.read(length)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            mapped = {name: file.get_tensor(name) for name in list(file.keys())}
            metadata = file.metadata() or {}
        stated = json.loads(header)
        tensors = {}
        for name, tensor in mapped.items():  # mapped from the file; their values stay there
            first, last = stated[name]["data_offsets"]
            if last - first != tensor.nbytes:  # types that are narrower than a byte
                tensors[name] = in_memory(tensor)
                continue
            tensors[name] = in_file(path, 8 + length + first, tensor.dtype, tuple(tensor.shape))
    except (SafetensorError, ValueError, RuntimeError, KeyError) as error:
        raise WeightsError(f"{path} is not a valid safetensors file: {error}") from error
    return tensors, metadata


def read_onnx(path: Path) -> dict[str, LazyTensor]:
    """Find the tensors of an iresnet50 in an ONNX file."""
    with path.open("rb") as stream:
        content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        arrays = read_iresnet50(content)
    except OnnxError as error:
        raise WeightsError(f"{path} {error}") from error
    first = np.frombuffer(content, np.uint8).ctypes.data
    tensors = {}
    for name, values in arrays.items():
        place = values.ctypes.data - first
        if values.flags.c_contiguous and 0 <= place < len(content):
            dtype = torch.from_numpy(np.empty(0, values.dtype)).dtype
            tensors[name] = in_file(path, place, dtype, values.shape)
        else:  # computed, or turned round
            tensors[name] = in_memory(torch.from_numpy(np.array(values, np.float32)))
    return tensors


def read_dlib(path: Path) -> dict[str, LazyTensor]:
    """Find the tensors of dlib's face recognition network."""
    size = path.stat().st_size
    if size > MAX_DLIB_BYTES:
        raise WeightsError(f"{path} has {size} bytes; at most {MAX_DLIB_BYTES} are read of dlib")
    try:
        arrays = read_resnet29(path.read_bytes())
    except WeightsError as error:
        raise WeightsError(f"{path} {error}") from error
    return {name: in_memory(torch.from_numpy(values)) for name, values in arrays.items()}


def read_pytorch(path: Path, max_bytes: int) -> tuple[dict[str, LazyTensor], tuple[str, ...]]:
    """Find the tensors in what ``torch.save`` wrote."""
    records = check_archive(path, max_bytes) if is_archive(path) else {}
    if records:
        tensors, unwrapped = unwrap(unpickle(path, "meta"), path, Tensor)
        found = {name: in_record(path, tensor, records) for name, tensor in tensors.items()}
        stored = {name: tensor for name, tensor in found.items() if tensor is not None}
        if len(stored) == len(found):
            return stored, unwrapped
    tensors, unwrapped = unwrap(unpickle(path, "cpu"), path, Tensor)
    return {name: in_memory(tensor) for name, tensor in tensors.items()}, unwrapped


def unpickle(path: Path, device: str) -> Any:
    """Read what ``torch.save`` wrote, tensors only; on ``meta`` without their values."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old storage classes; nothing a reader can act on
            return torch.load(path, map_location=device, weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # a damaged or hostile stream fails in any way
        match = re.search(r"GLOBAL ([\w.]+)", str(error))
        if match:
            raise WeightsError(
                f"{path} holds Python objects beside tensors ({match[1]}); it was refused and none "
                "of it was run. If you trust it, load it with the code that made it and save its "
                "state_dict() alone"
            ) from None
        # Not its text: torch advises to unpickle everything.
        raise WeightsError(
            f"{path} is no weight file of safetensors or PyTorch, or it is cut off or damaged "
            f"({type(error).__name__})"
        ) from error


def in_record(path: Path, tensor: Tensor, records: Mapping[int, int]) -> LazyTensor | None:
    """Return a tensor on ``meta`` as the part of a record that it is.

    None where it is not one: it is not laid out row by row, or not all within a record. Also where
    this PyTorch (before 2.6) does not say where a storage lies.
    """
    storage = tensor.untyped_storage()
    record: int | None = getattr(storage, "_checkpoint_offset", None)
    first = int(tensor.storage_offset()) * tensor.itemsize
    if record is None or not tensor.is_contiguous():
        return None
    if first + tensor.nbytes > records.get(record, -1):
        return None
    return in_file(path, record + first, tensor.dtype, tuple(tensor.shape))


def check_archive(path: Path, max_bytes: int) -> dict[int, int]:
    """Refuse an archive that unpacks to too much, or that holds code.

    Returns:
        Where in the file each record begins, and its bytes; nothing if they don't lie there as they
        are, because they are compressed or of a machine with another order of bytes.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
        check_entries(path, entries, max_bytes)
        # As PyTorch itself sees it: it reverses values on meta too, where it then crashes.
        reader = torch._C.PyTorchFileReader(str(path))
        native = sys.byteorder.encode()
        order = reader.get_record("byteorder") if reader.has_record("byteorder") else native  # type: ignore[attr-defined]  # a stub lacks it
        if order != native or any(e.compress_type != zipfile.ZIP_STORED for e in entries):
            return {}
        return dict(find_record(path, entry) for entry in entries)
    except WeightsError:
        raise
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError) as error:
        raise WeightsError(f"{path} is cut off or damaged: {error}") from error


def is_archive(path: Path) -> bool:
    """Whether a file begins as an archive, as PyTorch writes it since 1.6."""
    with path.open("rb") as stream:
        return stream.read(2) == b"PK"


def find_record(path: Path, entry: zipfile.ZipInfo) -> tuple[int, int]:
    """Return where a record begins, past the header that precedes it, and its bytes."""
    with path.open("rb") as file:
        file.seek(entry.header_offset + NAME_LENGTH_AT)
        lengths = file.read(4)
    name, extra = int.from_bytes(lengths[:2], "little"), int.from_bytes(lengths[2:], "little")
    return entry.header_offset + NAME_LENGTH_AT + 4 + name + extra, entry.file_size


def check_entries(path: Path, entries: list[zipfile.ZipInfo], max_bytes: int) -> None:
    """Refuse too many parts, too large ones, and code."""
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


def unwrap(content: Any, path: Path, kind: type[T]) -> tuple[dict[str, T], tuple[str, ...]]:
    """Find the parameters in a checkpoint and take off the prefixes that all of them share.

    Args:
        content: of the file.
        path: the file, for messages.
        kind: of its tensors.

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
    if not isinstance(content, Mapping) or not any(
        isinstance(value, kind) for value in content.values()
    ):
        what = type(content).__name__
        if isinstance(content, Mapping):
            what = f"a dictionary with {', '.join(map(repr, list(content)[:10])) or 'nothing'}"
        raise WeightsError(
            f"{path} holds no tensors by name: expected a state_dict, or one under "
            f"{', '.join(CONTAINERS)}, got {what}"
        )
    tensors = {key: value for key, value in content.items() if isinstance(value, kind)}
    for name, tensor in tensors.items():
        # Names end up in messages, where a hostile one could move the terminal's cursor.
        if not isinstance(name, str) or not name.isprintable() or len(name) > MAX_NAME:
            raise WeightsError(f"{path} names a tensor {str(name)[:40]!r}: expected plain text")
        if isinstance(tensor, Tensor) and (tensor.layout != torch.strided or tensor.is_quantized):
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
