from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from cache.entries.datasets import find_datasets
from cache.entries.sealed import SealError


def test_arrays_are_found_by_name_times_first_and_in_groups(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in ("basic", "tracks/box", "times", "a"):
            file[name] = np.zeros(3)
        assert list(find_datasets(file, 10**6)) == ["times", "a", "basic", "tracks/box"]


def external_storage(file: h5py.File) -> None:
    file.create_dataset("x", (3,), "u1", external=[("/etc/passwd", 0, 3)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((3,), "u1")
    layout[:] = h5py.VirtualSource("/etc/other.h5", "y", (3,))
    file.create_virtual_dataset("x", layout)


def bomb(file: h5py.File) -> None:
    file.create_dataset("x", (10**12,), "u1")  # nothing of it is stored


def stored_bomb(file: h5py.File) -> None:
    file.create_dataset("x", data=np.zeros(10**6, "u1"))


def compressed(file: h5py.File) -> None:
    file.create_dataset("x", data=np.zeros(1000), compression="gzip")


def text(file: h5py.File) -> None:
    file["x"] = "text"


def soft_link(file: h5py.File) -> None:
    file["x"] = h5py.SoftLink("/times")


def external_link(file: h5py.File) -> None:
    file["x"] = h5py.ExternalLink("/etc/other.h5", "y")


def link_in_group(file: h5py.File) -> None:
    file.create_group("x")["y"] = h5py.SoftLink("/times")


def loop(file: h5py.File) -> None:
    file.create_group("x")["x"] = file["/"]


def named_type(file: h5py.File) -> None:
    file["x"] = np.dtype("f8")


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (external_storage, "x is not a plain array"),
        (virtual, "x is not a plain array"),
        (bomb, "x is not a plain array"),
        (stored_bomb, "x is not a plain array"),
        (compressed, "x is not a plain array"),
        (text, "x is not a plain array"),
        (soft_link, "x is a link to somewhere else"),
        (external_link, "x is a link to somewhere else"),
        (link_in_group, "x/y is a link to somewhere else"),
        (loop, "x/x is neither an array nor a group"),
        (named_type, "x is neither an array nor a group"),
    ],
)
def test_whatever_is_not_a_plain_array_in_the_file_is_refused(
    make: Callable[[h5py.File], None], match: str, tmp_path: Path
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        make(file)
        with pytest.raises(SealError, match=match):
            find_datasets(file, 10_000)
