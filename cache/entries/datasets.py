"""Datasets: the plain arrays of an HDF5 file, and nothing else that HDF5 could hold."""

from __future__ import annotations

import h5py

from cache.entries.sealed import SealError


def find_datasets(file: h5py.File, file_bytes: int) -> dict[str, h5py.Dataset]:
    """Return a file's arrays by name, ``times`` first, those in a group as ``group/name``.

    A file from elsewhere may be made to harm: links, external and virtual datasets would read
    other files; filters, and datasets that are larger than the file, take memory without bound.

    Args:
        file: the open file.
        file_bytes: its size.

    Raises:
        SealError: it holds something else than plain arrays and groups of them.
    """
    found: dict[str, h5py.Dataset] = {}
    for group, prefix in [(file, ""), *_groups(file)]:
        for name in group:
            if not _is_hard_link(group, name):
                raise SealError(f"{prefix}{name} is a link to somewhere else")
            item = group[name]
            if isinstance(item, h5py.Dataset):
                if not _is_plain(item, file_bytes):
                    raise SealError(f"{prefix}{name} is not a plain array")
                found[f"{prefix}{name}"] = item
            elif prefix or not isinstance(item, h5py.Group):
                raise SealError(f"{prefix}{name} is neither an array nor a group of arrays")
    return {name: found[name] for name in sorted(found, key=lambda name: (name != "times", name))}


def _groups(file: h5py.File) -> list[tuple[h5py.Group, str]]:
    return [
        (file[name], f"{name}/")
        for name in file
        if _is_hard_link(file, name) and file.get(name, getclass=True) is h5py.Group
    ]


def _is_hard_link(group: h5py.Group, name: str) -> bool:
    return isinstance(group.get(name, getlink=True), h5py.HardLink)


def _is_plain(dataset: h5py.Dataset, file_bytes: int) -> bool:
    return (
        dataset.dtype.kind in "fiub"
        and not dataset.is_virtual
        and not dataset.external
        and dataset.id.get_create_plist().get_nfilters() == 0
        and dataset.id.get_storage_size() >= dataset.nbytes
        and dataset.nbytes <= file_bytes
    )
