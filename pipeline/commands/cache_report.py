"""A cache's status as plain text: aligned columns, no colours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cache.entries.coverage import describe_coverage
from cache.upkeep.status import CacheStatus, SetStatus
from cache.wording import number_of


def format_status(found: CacheStatus) -> str:
    """Write a table with a line per set, and below it whatever needs a word."""
    header = ["set", "ok", "partial", "failed", "damaged", "size", "steps", "faces", "seen"]
    rows = [
        [
            item.folder,
            *(str(count) for count in (item.ok, item.partial, item.failed, item.damaged)),
            format_size(item.bytes),
            str(item.steps),
            *_shares(item),
        ]
        for item in found.sets
    ]
    columns = ("done", "stale", "failed", "missing")
    if found.sets and found.sets[0].manifest is not None:
        header += ["of manifest: done", *columns[1:]]
        for row, item in zip(rows, found.sets, strict=True):
            counts = item.manifest or {}
            row += [str(counts.get(name, "")) for name in columns]
    lines = _align([header, *rows])
    for item in found.sets:
        lines += [f"{item.folder}: {note}" for note in _notes(item)]
    lines += [f"{folder}: broken: {reason}" for folder, reason in found.broken.items()]
    lines += [f"stale pack {name}: {reason}" for name, reason in found.stale_packs.items()]
    touched = describe_touched_packs(found.touched_packs)
    size = format_size(found.pack_bytes)
    lines.append(f"{number_of(found.packs, 'pack')}, {size}" + (f"; {touched}" if touched else ""))
    if found.temporaries or found.removed:
        lines.append(
            f"{number_of(found.temporaries, 'temporary file')} and "
            f"{number_of(found.removed, 'half-removed set')}; "
            f"see 'avfuse cache gc --dry-run {found.cache}'"
        )
    return "\n".join(lines)


def describe_touched_packs(number: int) -> str:
    """Say how many packs are of entries that were copied or touched; empty for none."""
    packs = f"the entries of {number_of(number, 'pack')} were copied or touched"
    return f"{packs} and hold the same; nothing is rebuilt" if number else ""


def _shares(item: SetStatus) -> tuple[str, str]:
    """Write the shares of frames with a face, and of those in which a detector saw it."""
    if item.coverage is None or not item.coverage.num_frames:
        return "-", "-"
    frames, found = item.coverage.num_frames, item.coverage
    return f"{found.num_with_face / frames:.1%}", f"{found.num_seen / frames:.1%}"


def _notes(item: SetStatus) -> Iterator[str]:
    if item.plugin:
        yield f"made by the plug-in {item.plugin}"
    if item.untrained:
        yield "untrained (random weights)"
    for upstream in item.orphaned:
        yield f"orphaned: made from {upstream}, which is gone"
    if item.newer:
        yield f"older than {item.newer}, and stale if you want that one; they differ in:"
        for line in item.differences:
            yield f"  {line}"
    for reason, number in item.stale.items():
        yield f"{number_of(number, 'clip')} stale: {reason}"
    for reason, number in item.unchecked.items():
        yield f"{number_of(number, 'clip')} not checked for newer files: {reason}"
    faces = describe_coverage(item.coverage) if item.coverage else ""
    if faces:
        yield faces
    if item.damaged:
        yield "has damaged entries; 'avfuse cache verify --remove' removes them"


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in rows
    ]


def format_size(num_bytes: int) -> str:
    """Write a size with three digits or so: ``1.2 MB``."""
    size = float(num_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
