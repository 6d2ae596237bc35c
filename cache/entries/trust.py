"""Trust: decide whether an entry that is there can be used as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cache.entries.entry import (
    EntryError,
    EntryHeader,
    EntryState,
    read_entry_header,
    read_identity,
)
from cache.entries.source_check import SourceCheck

NO_ENTRY = "no entry yet"
UPSTREAM_UNKNOWN = "an older version made the entry, which doesn't say from which {name}"


@dataclass(frozen=True, slots=True)
class Trust:
    """Verdict on an entry: usable as it is, or to be made again.

    Args:
        state: the entry's state; None: it must be made again.
        reason: why it must be; empty if it need not.
        header: what a trusted entry states about itself.
    """

    state: EntryState | None
    reason: str = ""
    header: EntryHeader | None = field(default=None, compare=False)


def trust_entry(
    entry_path: Path,
    *,
    clip: str,
    key: str,
    source: SourceCheck,
    upstream: Mapping[str, Path | str] | None = None,
) -> Trust:
    """Decide whether an entry can be used as it is, and say why not; never raises.

    Args:
        entry_path: the entry's file.
        clip: the clip's id.
        key: its set's key.
        source: the clip's media file.
        upstream: name of each set that it is made from to the clip's entry there: its path, or its
            identity where that is known.
    """
    try:
        header = read_entry_header(entry_path)
    except FileNotFoundError:
        return Trust(None, NO_ENTRY)
    except (EntryError, OSError) as error:
        return Trust(None, f"the entry is damaged: {error}")
    if header.clip != clip:
        return Trust(None, f"the entry belongs to clip {header.clip}")
    if header.key != key:
        return Trust(None, f"the entry has key {header.key[:12]}, not {key[:12]}")
    if header.source.span != source.span:
        return Trust(None, "the clip's start or end has changed")
    if problem := find_upstream_problem(header, upstream or {}):
        return Trust(None, problem)
    try:
        unchanged = source.same(header.source)
    except OSError as error:
        return Trust(None, f"its file can't be read: {error}")
    if not unchanged:
        return Trust(None, "its file has changed")
    return Trust(header.state, header=header)


def find_upstream_problem(header: EntryHeader, upstream: Mapping[str, Path | str]) -> str:
    """Say why an entry isn't of use beside those that it must be made from; empty if it is.

    Args:
        header: the entry's.
        upstream: see ``trust_entry``.
    """
    for name, there in upstream.items():
        stated = header.upstream.get(name)
        if stated is None:
            return UPSTREAM_UNKNOWN.format(name=name)
        try:
            identity = there if isinstance(there, str) else read_identity(there)
        except FileNotFoundError:
            return f"the entry of {name} that it was made from is gone"
        except (EntryError, OSError) as error:
            return f"the entry of {name} that it was made from is damaged: {error}"
        if identity != stated:
            return f"it was made from another entry of {name} than the one that is there"
    return ""
