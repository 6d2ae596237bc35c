"""Feature sets: the entries and failures of one extractor's one configuration, in one folder."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

from cache.commit import CacheWriteError, make_last_folder, remove_durably, write_error
from cache.digest import JSON, digest_text
from cache.entries.entry import (
    Entry,
    EntryError,
    EntryHeader,
    EntryState,
    read_entry,
    read_entry_header,
)
from cache.entries.failure import Failure, FailureRecordError, read_failure, write_failure
from cache.entries.rows import OpenEntry, open_entry
from cache.entries.source import Source
from cache.entries.source_check import SourceCheck
from cache.entries.trust import Trust, find_upstream_problem, trust_entry
from cache.entries.writer import EntryWriter
from cache.manifest.clip_id import check_clip_id, is_clip_id
from cache.sets.spec import (
    SPEC_FILE,
    SetError,
    SetLayoutError,
    SetSpec,
    explain_difference,
    folder_name,
    raise_layout,
    read_spec_file,
    write_spec_file,
)

__all__ = [
    "FeatureSet",
    "SetError",
    "SetSpec",
    "Trust",
    "explain_difference",
    "find_set",
    "list_sets",
]

FAILURES = "failures"
_HEX = "0123456789abcdef"


class FeatureSet:
    """One folder of entries that were made with one key, and the failures beside them.

    Processes may share it; each entry appears complete or not at all.

    Args:
        cache: the cache's folder.
        spec: what the set is made with.

    Attributes:
        folder: ``cache / spec.folder``.
    """

    def __init__(self, cache: Path, spec: SetSpec) -> None:
        self.cache = cache
        self.spec = spec
        self.folder = cache / spec.folder

    @classmethod
    def open(cls, folder: Path) -> FeatureSet:
        """Open the set that a folder holds.

        Raises:
            SetError: the folder holds no set, or its ``set.json`` is damaged.
            OSError: it can't be read.
        """
        return cls(folder.parent, read_spec_file(folder)[0])

    @property
    def provenance(self) -> dict[str, Any]:
        """The readable facts stored with the set when it was created."""
        return read_spec_file(self.folder)[1]

    def create(self, provenance: Mapping[str, JSON]) -> Self:
        """Create the set's folder with its ``set.json``, unless it is there and whole.

        Raises:
            SetError: the folder holds a set with another key or layout.
            CacheWriteError: it can't be written.
        """
        try:
            there, _ = read_spec_file(self.folder)
        except SetLayoutError:
            raise  # its entries would pass for damaged ones
        except (OSError, SetError):
            # Absent or damaged: written anew. The folder's name vouches for the key.
            write_spec_file(self.folder, self.spec, provenance)
            return self
        if there.key != self.spec.key:
            raise SetError(
                f"{self.folder} holds a set with another key than {self.spec.key}; "
                "choose another cache"
            )
        with contextlib.suppress(CacheWriteError):  # a cache that has all may be read-only
            raise_layout(self.folder)
        return self

    def entry_path(self, clip: str) -> Path:
        """Return where a clip's entry is, or would be.

        Raises:
            ValueError: ``clip`` is not a clip id.
        """
        return self.folder / _entry_name(clip)

    def failure_path(self, clip: str) -> Path:
        """Return where the record of a clip's failure is, or would be.

        Raises:
            ValueError: ``clip`` is not a clip id.
        """
        return self.folder / FAILURES / f"{check_clip_id(clip)}.json"

    def upstream_paths(self, clip: str) -> dict[str, Path]:
        """Return where the entries are that a clip's is made from, by the name of their set."""
        return {name: self._upstream_path(clip, name) for name in self.spec.upstream}

    def _upstream_path(self, clip: str, name: str) -> Path:
        return self.cache / folder_name(name, self.spec.upstream[name]) / _entry_name(clip)

    def trusted(self, clip: str, source: Path | SourceCheck) -> EntryState | None:
        """Return the state of a clip's entry, or None if it must be made; see ``trust``."""
        return self.trust(clip, source).state

    def trust(
        self,
        clip: str,
        source: Path | SourceCheck,
        *,
        upstream: Mapping[str, str] | None = None,
    ) -> Trust:
        """Decide whether a clip's entry can be used as it is, and say why not.

        It costs no more than reading a header: layout, size, clip, key, source, upstream.

        Args:
            clip: the clip's id.
            source: the clip's media file. Who asks several sets about a clip gives them all one
                ``SourceCheck``.
            upstream: name of a set that this one is made from to the identity of the clip's entry
                there, where the caller knows it; others are read.
        """
        if isinstance(source, Path):
            source = SourceCheck(source, cache=self.cache, clip=clip)
        return trust_entry(
            self.entry_path(clip),
            clip=clip,
            key=self.spec.key,
            source=source,
            upstream={
                name: (upstream or {}).get(name) or self._upstream_path(clip, name)
                for name in self.spec.upstream
            },
        )

    def writer(
        self,
        clip: str,
        *,
        source: Source,
        provenance: Mapping[str, JSON],
        upstream: Mapping[str, str] | None = None,
        confirm: Callable[[], None] = lambda: None,
    ) -> EntryWriter:
        """Return a writer for a clip's entry, see there; the set must have been created.

        Raises:
            ValueError: ``clip`` is not a clip id, ``provenance`` is not JSON, or ``upstream``
                doesn't name the sets that this one is made from.
        """
        if (upstream or {}).keys() != self.spec.upstream.keys():
            raise ValueError(
                f"clip {clip}: {self.folder.name} is made from "
                f"{', '.join(self.spec.upstream) or 'no other set'}, and its entry shall state "
                f"{', '.join(upstream or {}) or 'none'}"
            )
        return EntryWriter(
            self.entry_path(clip),
            clip=clip,
            key=self.spec.key,
            source=source,
            provenance=provenance,
            upstream=upstream,
            confirm=confirm,
            superseded=self.failure_path(clip),
        )

    def read(self, clip: str, names: Sequence[str] | None = None, *, verify: bool = False) -> Entry:
        """Read a clip's entry; see ``read_entry``.

        Raises:
            FileNotFoundError: there is no entry.
            EntryError: it is damaged, another clip's or set's, or lacks an array.
            OSError: it can't be read.
        """
        return read_entry(self._own_entry(clip), names, verify=verify)

    def open_entry(self, clip: str, *, verify: bool = False) -> AbstractContextManager[OpenEntry]:
        """Open a clip's entry to read its arrays in parts; see ``cache.entries.rows``.

        Raises:
            FileNotFoundError: there is no entry.
            EntryError: it is damaged, or another clip's or set's; some of it on entering.
            OSError: it can't be read.
        """
        return open_entry(self._own_entry(clip), verify=verify)

    def read_headers(self, clips: Iterable[str]) -> dict[str, EntryHeader]:
        """Read the headers of the clips' entries; those without an entry are left out.

        Raises:
            EntryError: a header is damaged, or another clip's or set's.
            OSError: an entry can't be read.
        """
        headers = {}
        for clip in clips:
            with contextlib.suppress(FileNotFoundError):
                headers[clip] = self._read_header(clip)
        return headers

    def _own_entry(self, clip: str) -> Path:
        """Return the path of a clip's entry; check that it exists and is this set's."""
        self._read_header(clip)
        return self.entry_path(clip)

    def _read_header(self, clip: str) -> EntryHeader:
        path = self.entry_path(clip)
        header = read_entry_header(path)
        if (header.clip, header.key) != (clip, self.spec.key):
            raise EntryError(
                f"clip {clip}: {path} is the entry of clip {header.clip} and key "
                f"{header.key[:12]}, not {self.spec.key[:12]}; remove it and extract again"
            )
        return header

    def failure(self, clip: str) -> Failure | None:
        """Return the record of a clip's failure; None if there is none or it is damaged.

        Whether it is still one of the file as it is now, ``Failure.still_counts`` says.

        Raises:
            OSError: it can't be read.
        """
        try:
            return read_failure(self.failure_path(clip))
        except (FileNotFoundError, FailureRecordError):
            return None  # `cache verify` lists damaged ones; here the clip is just tried again

    def record_failure(self, failure: Failure) -> None:
        """Record why a clip has no entry, replacing an earlier record.

        An entry that is damaged, or made from another content of the file or from another
        entry than the one that is there, is removed: it is stale for certain.

        Raises:
            CacheWriteError: it couldn't be written.
        """
        path = self.failure_path(failure.clip)
        entry_path = self.entry_path(failure.clip)
        what = f"clip {failure.clip}: the record of its failure"
        try:
            make_last_folder(path)
            write_failure(path, failure)
            if failure.source and self._is_stale(failure.clip, failure.source):
                remove_durably(entry_path)  # or a power cut would bring it back as current
        except OSError as error:
            raise write_error(what, path, error) from error

    def _is_stale(self, clip: str, source: Source) -> bool:
        """Whether a clip's entry is gone, or for certain of no use to a file with this content."""
        there = {name: path for name, path in self.upstream_paths(clip).items() if path.exists()}
        try:
            header = read_entry_header(self.entry_path(clip))
        except (FileNotFoundError, EntryError):
            return True  # gone, or damaged and now known not to be made again
        same = header.source.same_content(source)
        return not same or bool(find_upstream_problem(header, there))

    def entry_paths(self) -> Iterator[Path]:
        """Yield the paths of all entries, in no particular order.

        Raises:
            OSError: a folder can't be read.
        """
        with os.scandir(self.folder) as shards:
            names = [item.name for item in shards if len(item.name) == 2 and item.is_dir()]
        for name in names:
            if set(name) <= set(_HEX):
                with os.scandir(self.folder / name) as items:
                    paths = [item.path for item in items if _is_entry(item.name)]
                yield from map(Path, paths)

    def clip_ids(self) -> list[str]:
        """Return the ids of all clips with an entry, sorted; other files are left out."""
        return sorted(path.stem for path in self.entry_paths() if is_clip_id(path.stem))

    def failures(self) -> list[Failure]:
        """Return the records of the clips that have a failure and no entry, sorted by clip."""
        paths = sorted((self.folder / FAILURES).glob("[!.]*.json"))
        found = [self.failure(path.stem) for path in paths if is_clip_id(path.stem)]
        return [item for item in found if item and not self.entry_path(item.clip).exists()]


@functools.lru_cache(maxsize=16)  # the sets of a clip ask for it one after the other
def _entry_name(clip: str) -> str:
    name = check_clip_id(clip)
    return f"{shard_name(name)}/{name}.h5"


def shard_name(clip: str) -> str:
    """Return the name of the folder that a clip's entry is in: 2 hex digits."""
    return digest_text(clip)[:2]


def list_sets(cache: Path) -> list[FeatureSet]:
    """Return a cache's sets, sorted by folder; folders that hold no whole set are left out.

    Raises:
        OSError: the cache's folder can't be read.
    """
    found: list[FeatureSet] = []
    for folder in sorted(cache.iterdir()):
        if not folder.name.startswith(".") and (folder / SPEC_FILE).is_file():
            try:
                found.append(FeatureSet.open(folder))
            except SetError:
                continue  # `cache verify` lists these
    return found


def find_set(cache: Path, name: str) -> FeatureSet:
    """Find the one set that ``name`` stands for.

    Args:
        cache: the cache's folder.
        name: a set's name, ``resnet18``, or that and the first digits of its key,
            ``resnet18-3fa9``.

    Raises:
        SetError: there is none, or several; says what there is and how they differ.
    """
    sets = list_sets(cache) if cache.is_dir() else []
    found = [item for item in sets if item.spec.name == name]
    if not found:
        found = [
            item
            for item in sets
            if item.folder.name.startswith(name) and len(name) > len(item.spec.name) + 1
        ]
    if len(found) == 1:
        return found[0]
    if not found:
        there = ", ".join(item.folder.name for item in sets) or "no sets"
        raise SetError(f"{cache} has no feature set {name}; it has {there}")
    specs = {item.spec.key: item.spec for item in sets}
    lines = [f"{cache} has {len(found)} sets {name}; name one of them by more of its key:"]
    for item in found:
        difference = "; ".join(explain_difference(found[0].spec, item.spec, specs))
        lines.append(f"  {item.folder.name}" + (f": {difference}" if difference else ""))
    raise SetError("\n".join(lines))


def _is_entry(name: str) -> bool:
    return name.endswith(".h5") and not name.startswith(".")
