"""Tensors whose values are fetched a piece at a time, and the digest of many of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from extractors.weights.error import WeightsError as WeightsError

# Values of a piece: they stay in a processor's cache from reading to hashing, and PyTorch computes
# with so few (below 32,768) on the calling thread.
PIECE = 32_000
# A counter of training steps: older files lack it, and no output depends on it.
COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class LazyTensor:
    """Type and shape of a tensor, and a way to its values.

    Attributes:
        dtype: of the values.
        shape: of the tensor.
        pieces: yields all values in order, flat; each piece may be overwritten by the next.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    pieces: Callable[[], Iterator[Tensor]]

    def read(self) -> Tensor:
        """Return the whole tensor, in memory of its own.

        Raises:
            WeightsError: the file is shorter than it was.
            OSError: it can't be read.
        """
        values = torch.empty(self.shape, dtype=self.dtype)
        self.copy_into(values)
        return values

    def copy_into(self, target: Tensor) -> None:
        """Overwrite the values of a tensor of the same shape; see ``read``."""
        flat, start = target.view(-1), 0
        for piece in self.pieces():
            flat[start : start + len(piece)] = piece
            start += len(piece)


def in_memory(values: Tensor) -> LazyTensor:
    """Return a tensor that is in memory already."""

    def pieces() -> Iterator[Tensor]:
        yield from torch.split(values.detach().cpu().reshape(-1), PIECE)

    return LazyTensor(values.dtype, tuple(values.shape), pieces)


def in_file(path: Path, place: int, dtype: torch.dtype, shape: tuple[int, ...]) -> LazyTensor:
    """Return a tensor whose values lie in a file, in order and without gaps, from a byte on."""
    count = torch.Size(shape).numel()

    def pieces() -> Iterator[Tensor]:
        buffer = torch.empty(min(count, PIECE), dtype=dtype)
        room = buffer.view(torch.uint8).numpy().data
        with path.open("rb", buffering=0) as file:
            file.seek(place)
            for start in range(0, count, len(buffer) or 1):
                piece = buffer[: count - start]
                rest = room[: piece.nbytes]
                while rest:
                    read = file.readinto(rest)
                    if not read:
                        raise WeightsError(f"{path} ended while it was read; is it being written?")
                    rest = rest[read:]
                yield piece

    return LazyTensor(dtype, shape, pieces)


def digest_tensors(tensors: Mapping[str, LazyTensor]) -> str:
    """Digest tensors: 64 hex digits of SHA-256.

    In the order of their names: name, type, shape and bytes, but for counters of training steps.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        if not name.endswith(COUNTER):
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
            for piece in tensor.pieces():
                digest.update(piece.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def weights_digest(module: nn.Module) -> str:
    """Digest everything learned in a module, parameters and buffers; see ``digest_tensors``.

    The container, prefixes and a dropped classifier therefore don't matter.
    """
    return digest_tensors({name: in_memory(t) for name, t in module.state_dict().items()})
