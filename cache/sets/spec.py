"""Specs: everything that a feature set's numbers depend on, its key, and the file it lies in.

``SPEC_FILE`` stands in each set's folder and holds the spec with its key, provenance and a
checksum. Two specs are compared setting by setting, so that a user sees why two sets differ.
"""

from __future__ import annotations

import errno
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from cache.codec import JsonFields, read_field, read_object
from cache.commit import (
    CacheWriteError,
    make_folder,
    sync_folder,
    temporary_path,
    write_error,
    write_whole,
)
from cache.digest import JSON, canonical_json, digest_json, take_checksum
from cache.entries.failure import utc_now
from cache.entries.sealed import LAYOUT

SPEC_FILE = "set.json"
_READABLE = (1, LAYOUT)  # in layout 1 the entries stated less; the file is the same
KEY_IN_NAME = 16  # hex digits of the key that a folder's name shows
PLUGIN = "plugin"  # a setting of a plug-in's sets: its distribution's name and version
CONTENT = "content"  # a setting of imported sets: the digest of the files that they came from
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_KEY = re.compile(r"[0-9a-f]{64}")


class SetError(ValueError):
    """A feature set can't be found, told from others, or read."""


class SetLayoutError(SetError):
    """A feature set was made by a version of avfuse with another layout."""


@dataclass(frozen=True)
class SetSpec(JsonFields):
    """Facts that can change a feature set's numbers, all of them and no others.

    Device, workers and batch size are left out; so are dates and library versions, which are
    provenance.

    Args:
        name: the set's name: ``faces``, ``resnet18`` ...
        settings: the extractor's settings, as JSON.
        version: the algorithm's version, raised by hand when the numbers change.
        weights: digest of the network's parameters; None where there are none.
        upstream: name and key of each set that this one is made from.
        untrained: whether the weights are random.

    Raises:
        ValueError: a name can't name a folder, a key is not 64 hex digits, or the settings are
            not JSON.
    """

    name: str
    settings: Mapping[str, JSON]
    version: int
    weights: str | None = None
    upstream: Mapping[str, str] = field(default_factory=dict)
    untrained: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"{self.name!r} can't name a feature set; expected at most 100 letters, digits, "
                "'.', '_' and '-', the first a letter or digit"
            )
        for name, key in self.upstream.items():
            if not _KEY.fullmatch(key):
                raise ValueError(f"set {self.name}: the key of {name} is not 64 hex digits: {key}")
        canonical_json(self.settings)  # a path would become text unnoticed
        canonical_json(self.to_json())

    @cached_property
    def key(self) -> str:
        """SHA-256, in hex, of the spec's canonical JSON."""
        return digest_json(self.to_json())

    @property
    def imported(self) -> bool:
        """Whether another tool made the numbers: its files, not the clips', are the sources."""
        return CONTENT in self.settings

    @property
    def plugin(self) -> str:
        """Name and version of the distribution whose plug-in makes the set; empty for avfuse's."""
        facts = self.settings.get(PLUGIN)
        named = isinstance(facts, Mapping) and {"distribution", "version"} <= facts.keys()
        return f"{facts['distribution']} {facts['version']}" if named else ""  # type: ignore[index,call-overload]  # it is a mapping

    @property
    def folder(self) -> str:
        """The name of the set's folder in a cache."""
        return folder_name(self.name, self.key)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Build a spec from what ``to_json`` returned.

        Raises:
            SetError: a field is unknown, missing or refused.
        """
        try:
            return super().from_json(values)
        except (TypeError, ValueError, AttributeError) as error:
            raise SetError(f"the spec of a feature set is damaged: {error}") from error


def folder_name(name: str, key: str) -> str:
    """Return the name of a set's folder in a cache."""
    return f"{name}-{key[:KEY_IN_NAME]}"


def spec_difference(old: SetSpec, new: SetSpec) -> list[str]:
    """List what differs between two specs, one line a setting: ``settings.views: 18 -> 50``.

    Digests and keys are shortened to 12 hex digits. The list is empty if the keys are equal.
    """
    before, after = _flatten(old.to_json()), _flatten(new.to_json())
    return [
        f"{name}: {_readable(before, name)} -> {_readable(after, name)}"
        for name in dict.fromkeys([*before, *after])
        if (name in before) != (name in after)
        or canonical_json(before[name]) != canonical_json(after[name])
    ]


def explain_difference(old: SetSpec, new: SetSpec, specs: Mapping[str, SetSpec]) -> list[str]:
    """List what differs between two specs, and, where an upstream does, what differs in that.

    Args:
        old: one spec.
        new: the other.
        specs: the specs that are known, by key.
    """
    lines: list[str] = []
    upstream = dict.fromkeys([*old.upstream, *new.upstream])
    pairs = {
        f"upstream.{name}: ": (old.upstream.get(name, ""), new.upstream.get(name, ""))
        for name in upstream
    }
    for line in spec_difference(old, new):
        lines.append(line)
        for start, (before, after) in pairs.items():
            if line.startswith(start) and before in specs and after in specs:
                deeper = explain_difference(specs[before], specs[after], specs)
                name = start.removeprefix("upstream.").removesuffix(": ")
                lines += [f"{name}.{item}" for item in deeper]
    return lines


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, JSON]:
    """Give every setting a dotted name."""
    result: dict[str, JSON] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            result.update(_flatten(value, f"{prefix}{name}."))
        else:
            result[f"{prefix}{name}"] = value
    return result


def _readable(values: Mapping[str, JSON], name: str) -> str:
    if name not in values:
        return "(absent)"
    value = values[name]
    if isinstance(value, str):
        return value[:12] if _KEY.fullmatch(value) else value
    return canonical_json(value)


def read_spec_file(folder: Path) -> tuple[SetSpec, dict[str, Any]]:
    """Return the spec and the provenance of the set in ``folder``.

    Raises:
        SetLayoutError: it is of another layout.
        SetError: there is none, it is damaged, or not this folder's.
        OSError: it can't be read.
    """
    return _read_spec_file(folder)[1:]


def raise_layout(folder: Path) -> None:
    """Write the file of a set of an older layout anew, before entries of this one come into it.

    Older versions then refuse the set, instead of taking its new entries for damaged ones.

    Raises:
        SetError: there is no set, or it is damaged.
        CacheWriteError: it can't be written.
    """
    layout, spec, provenance = _read_spec_file(folder)
    if layout != LAYOUT:
        write_spec_file(folder, spec, provenance)


@dataclass(frozen=True)
class _SpecFile(JsonFields):
    """Contents of a set's file but the checksum."""

    layout: int
    key: str
    spec: SetSpec
    provenance: dict[str, Any]


def _read_spec_file(folder: Path) -> tuple[int, SetSpec, dict[str, Any]]:
    path = folder / SPEC_FILE
    try:
        values = read_object(path)
        take_checksum(values)
        layout = read_field(values, "layout", int)
        stated = _SpecFile.from_json(values) if layout in _READABLE else None
    except FileNotFoundError:
        raise SetError(f"{folder} is not a feature set: it has no {SPEC_FILE}") from None
    except (ValueError, TypeError) as error:
        raise SetError(f"{path} is damaged: {error}; extract again to write it anew") from error
    if stated is None:
        raise SetLayoutError(
            f"{path} has layout {layout}, this version of avfuse {LAYOUT}; use the version "
            "that made it, or another cache"
        )
    spec = stated.spec
    if spec.key != stated.key or spec.folder != folder.name:
        raise SetError(
            f"{path} is damaged: its key and folder name don't agree; "
            "extract again to write it anew"
        )
    return layout, spec, stated.provenance


def write_spec_file(folder: Path, spec: SetSpec, provenance: Mapping[str, JSON]) -> None:
    """Create a set's folder with the file in it, complete or not at all.

    The folder is made under a temporary name and renamed, so that none appears without its file.
    In a folder that is there the file is written anew.

    Raises:
        CacheWriteError: it can't be written.
    """
    what = f"feature set {spec.name}"
    values = {
        "layout": LAYOUT,
        "key": spec.key,
        "spec": spec.to_json(),
        "provenance": {"date": utc_now(), **provenance},
    }
    text = json.dumps({**values, "checksum": digest_json(values)}, indent=2, sort_keys=True) + "\n"
    if folder.is_dir():
        write_whole(folder / SPEC_FILE, text, what=what)
        return
    aside = temporary_path(folder)
    try:
        make_folder(folder.parent)
        aside.mkdir()
        write_whole(aside / SPEC_FILE, text, what=what)
        aside.rename(folder)
        sync_folder(folder.parent)
    except CacheWriteError:
        raise
    except OSError as error:
        # Not empty: another process has just made the same set.
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise write_error(what, folder, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
