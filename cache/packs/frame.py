"""A pack less its values: its lists, times and memory of the entries it was made from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cache.entries.datasets import find_datasets
from cache.entries.sealed import Header, SealError


@dataclass(frozen=True)
class PackFrame:
    """What a pack holds beside its values.

    Args:
        header: of the file.
        index: lists by clip: ids, states, what is missing, checksums.
        entry_stats: (N, 2) size and time of each entry's file when the pack was made.
        times: (sum T,), see ``cache.packs.pack.Pack``.
        offsets: (N + 1,), see there.
        shape: of the values.
        dtype: of the values.
    """

    header: Header
    index: dict[str, Any]
    entry_stats: np.ndarray
    times: np.ndarray
    offsets: np.ndarray
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def read_frame(path: Path, header: Header) -> PackFrame:
    """Read all of a pack but its values, with one look into the file.

    Raises:
        FileNotFoundError: it is gone.
        SealError: it is damaged.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            datasets = find_datasets(file, header.bytes)
            return PackFrame(
                header=header,
                index=json.loads(bytes(datasets["index"][...])),
                entry_stats=datasets["entry_stats"][...],
                times=datasets["times"][...],
                offsets=datasets["offsets"][...],
                shape=datasets["values"].shape,
                dtype=datasets["values"].dtype,
            )
    except FileNotFoundError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise SealError(str(error)) from error
