"""Trust: decide whether an entry that is there can be used as it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cache.entries.entry import EntryError, EntryHeader, EntryState, read_entry_header
from cache.entries.sealed import SealError, read_unchanged, verify_body
from cache.entries.source import same
from cache.span import WHOLE_FILE, Span


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
    source: Path,
    span: Span = WHOLE_FILE,
    verify: bool = False,
) -> Trust:
    """Decide whether an entry can be used as it is, and say why not; never raises.

    Args:
        entry_path: the entry's file.
        clip: the clip's id.
        key: its set's key.
        source: the clip's media file.
        span: the part of it that is the clip.
        verify: also read the entry through and compare its SHA-256.
    """
    try:
        header = (
            read_unchanged(entry_path, lambda: _read_through(entry_path))
            if verify
            else read_entry_header(entry_path)
        )
    except FileNotFoundError:
        return Trust(None, "no entry yet")
    except (EntryError, SealError, OSError) as error:
        return Trust(None, f"the entry is damaged: {error}")
    if header.clip != clip:
        return Trust(None, f"the entry belongs to clip {header.clip}")
    if header.key != key:
        return Trust(None, f"the entry has key {header.key[:12]}, not {key[:12]}")
    if header.source.span != span:
        return Trust(None, "the clip's start or end has changed")
    try:
        unchanged = same(source, header.source)
    except OSError as error:
        return Trust(None, f"its file can't be read: {error}")
    if not unchanged:
        return Trust(None, f"{source} has changed")
    return Trust(header.state, header=header)


def _read_through(path: Path) -> EntryHeader:
    header = read_entry_header(path)
    verify_body(path, header.seal)
    return header
