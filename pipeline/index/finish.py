"""Last steps of every recipe: map labels, check what was found, write the manifest, count it."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from cache.codec import JsonFields
from cache.commit import check_file_place
from cache.manifest.clip import SPLITS, Clip
from cache.manifest.clip_id import as_clip_id, digest_clip_id
from cache.manifest.manifest import write_manifest
from cache.manifest.rows import text_problem
from cache.wording import number_of
from extractors.weights.class_names import name_class
from pipeline.index.files import (
    Found,
    IndexingError,
    describe_names,
    did_you_mean,
    nothing_found,
    printable,
    size_problem,
)

NUM_COUNTS_SHOWN = 30
T = TypeVar("T", str, int)


@dataclass(frozen=True)
class IndexSummary(JsonFields):
    """The manifest written, counts of its clips, and what is not in it.

    Args:
        manifest: the file.
        num_clips: rows in it.
        labels: label to number of clips.
        splits: split to number of clips, in the order train, val, test.
        folds: fold to number of clips.
        num_speakers: distinct speakers.
        left_out: reason to names.
        warnings: what to look at.
        notes: what may be of use.
    """

    manifest: str
    num_clips: int
    labels: Mapping[str, int]
    splits: Mapping[str, int]
    folds: Mapping[int, int]
    num_speakers: int
    left_out: Mapping[str, Sequence[str]]
    warnings: Sequence[str]
    notes: Sequence[str]

    @classmethod
    def of(cls, manifest: Path, clips: Sequence[Clip], found: Found) -> IndexSummary:
        """Count the clips of a manifest."""
        splits = Counter(clip.split for clip in clips)
        return cls(
            manifest=str(manifest),
            num_clips=len(clips),
            labels=_count(clip.label for clip in clips),
            splits={name: splits[name] for name in SPLITS if splits[name]},
            folds=_count(clip.fold for clip in clips),
            num_speakers=len({clip.speaker for clip in clips} - {None}),
            left_out={reason: list(names) for reason, names in found.left_out.items()},
            warnings=list(found.warnings),
            notes=list(found.notes),
        )

    def lines(self) -> list[str]:
        """Return the summary for a reader; warnings are apart, in ``warnings``."""
        lines = [f"{self.manifest}: {number_of(self.num_clips, 'clip')}"]
        counts: dict[str, Mapping[Any, int]] = {
            "labels": self.labels,
            "splits": self.splits,
            "folds": self.folds,
        }
        for name, count in counts.items():
            if count:
                lines.append(f"  {name}: {_describe_counts(count)}")
        if self.num_speakers:
            lines.append(f"  speakers: {self.num_speakers}")
        lines += [f"  {printable(note)}" for note in self.notes]
        if self.left_out:
            lines.append(f"left out: {sum(map(len, self.left_out.values()))}")
            lines += [
                f"  {len(names)} {printable(reason)}: {describe_names(names)}"
                for reason, names in self.left_out.items()
            ]
        return lines


def _count(values: Iterable[T | None]) -> dict[T, int]:
    counts = Counter(value for value in values if value is not None)
    return {value: counts[value] for value in sorted(counts)}


def _describe_counts(counts: Mapping[Any, int]) -> str:
    items = list(counts.items())
    shown = ", ".join(f"{printable(str(key))} {count}" for key, count in items[:NUM_COUNTS_SHOWN])
    more = len(items) - NUM_COUNTS_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def index_into(
    recipe: Callable[..., Found],
    out: Path,
    *,
    labels: Mapping[str, str] | None = None,
    follow_links: bool = False,
    overwrite: bool = False,
) -> IndexSummary:
    """Run a recipe and write what it finds; a place that can't be written is refused before.

    Args:
        recipe: all of its arguments but ``follow_links`` filled in.
        out: see ``finish_index``, as the rest.
        labels: see there.
        follow_links: take in what links lead to outside the corpus.
        overwrite: see there.

    Raises:
        IndexingError: as the recipe says, or as ``finish_index``.
        FileExistsError, OSError: see there.
    """
    check_file_place(out, overwrite=overwrite)
    return finish_index(recipe(follow_links=follow_links), out, labels=labels, overwrite=overwrite)


def finish_index(
    found: Found, out: Path, *, labels: Mapping[str, str] | None = None, overwrite: bool = False
) -> IndexSummary:
    """Write what a recipe found as a manifest.

    Args:
        found: the recipe's result; gets more left out and more warnings.
        out: the manifest to write; its folder is created.
        labels: old label to new, applied once to each clip.
        overwrite: replace an existing manifest.

    Returns:
        What was written, left out and warned of.

    Raises:
        IndexingError: no clip is left, a label to map doesn't occur, or labels differ in case only.
        FileExistsError: ``out`` exists and ``overwrite`` is false, or is a folder.
        OSError: ``out`` can't be written.
    """
    named = {} if found.own_labels else _named(_labels_of(found.clips), labels or {})
    if named:
        renamed = ", ".join(f"{old} as {new}" for old, new in named.items())
        found.notes.append(f"classes have the names that they have everywhere: {renamed}")
    clips = [_map_label(clip, named) for clip in found.clips]
    if clips and labels:
        _check_mapping(_labels_of(found.clips) + _labels_of(clips), labels)
    clips = [_map_label(clip, labels or {}) for clip in clips]
    clips = list(_writable(clips, found))
    if not clips:
        raise nothing_found(found)
    _check_labels(clips)
    clips = _unify_speakers(clips, found)
    _warn_of_files(clips, found)
    _warn_of_content(clips, found)
    path = write_manifest(out, clips, overwrite=overwrite)
    return IndexSummary.of(path, clips, found)


def _map_label(clip: Clip, labels: Mapping[str, str]) -> Clip:
    """Rename a clip's label and the classes of its votes; votes for classes made one are added."""
    votes: dict[str, float] = {}
    for name, count in clip.votes or ():
        name = labels.get(name, name)
        votes[name] = votes.get(name, 0.0) + count
    label = labels.get(clip.label, clip.label) if clip.label else clip.label
    return replace(clip, label=label, votes=tuple(votes.items()) or None)


def _labels_of(clips: Iterable[Clip]) -> list[str]:
    """Return the labels of clips and the classes of their votes, each once, sorted."""
    labels = {clip.label for clip in clips if clip.label is not None}
    return sorted(labels | {name for clip in clips for name, _ in clip.votes or ()})


def _named(known: Iterable[str], labels: Mapping[str, str]) -> dict[str, str]:
    """Return the names of a corpus's labels that have another here, but for those mapped."""
    return {old: name for old in known if (name := name_class(old)) != old and old not in labels}


def _check_mapping(known: Sequence[str], labels: Mapping[str, str]) -> None:
    known = sorted(set(known))
    for old in labels:
        if old not in known:
            hint = did_you_mean(old, known)
            raise IndexingError(
                f"no clip has the label {old!r}, so it can't be mapped{hint}; "
                f"labels: {', '.join(known) or 'none'}"
            )


def _writable(clips: Iterable[Clip], found: Found) -> Iterable[Clip]:
    """Yield the clips that a manifest can hold, one for each id, odd ids escaped.

    Of ids that differ only in case all but the first end in a digest.
    """
    seen: dict[str, str] = {}
    for clip in clips:
        problem = _field_problem(clip)
        if problem:
            found.leave_out(clip.path, problem)
            continue
        clip = replace(clip, id=as_clip_id(clip.id))
        if seen.get(clip.id.lower(), clip.id) != clip.id:  # some disks hold one of two such files
            clip = replace(clip, id=digest_clip_id(clip.id))
        if clip.id.lower() in seen:
            found.leave_out(clip.path, "has the id of another clip")
            continue
        seen[clip.id.lower()] = clip.id
        yield clip


def _field_problem(clip: Clip) -> str | None:
    fields = {
        "path": str(clip.path.absolute()),
        "label": clip.label or "",
        "speaker": clip.speaker or "",
    }
    for name, value in fields.items():
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                return f"its {name} is not UTF-8, which a manifest must be"
        if text_problem(name, value):
            return f"its {name} is too long, or has a control character or blanks around it"
    return None


def _check_labels(clips: Iterable[Clip]) -> None:
    counts = Counter(clip.label for clip in clips if clip.label is not None)
    for group in _alike(counts):
        first, second = sorted(group, key=lambda label: (counts[label], label))[:2]
        raise IndexingError(
            f"labels {first!r} ({counts[first]} clips) and {second!r} ({counts[second]}) differ "
            f"only in case; make them one with --map {first}={second}"
        )


def _unify_speakers(clips: list[Clip], found: Found) -> list[Clip]:
    """Write a speaker in one way: two spellings of one would pass for two in a split."""
    counts = Counter(clip.speaker for clip in clips if clip.speaker is not None)
    spelling: dict[str | None, str] = {}
    for group in _alike(counts):
        best = max(sorted(group), key=lambda name: counts[name])
        spelling.update((name, best) for name in group if name != best)
        others = ", ".join(sorted(repr(name) for name in group if name != best))
        found.warnings.append(f"speaker {best!r} is also written {others}; taken as one")
    if not spelling:
        return clips
    return [replace(clip, speaker=spelling.get(clip.speaker, clip.speaker)) for clip in clips]


def _alike(names: Iterable[str]) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        groups.setdefault(unicodedata.normalize("NFKC", name).casefold(), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _warn_of_files(clips: Iterable[Clip], found: Found) -> None:
    problems: dict[str, list[str]] = {}
    for clip in clips:
        problem = size_problem(clip.path)
        if problem:
            problems.setdefault(problem, []).append(found.relative(clip.path))
    for problem, names in problems.items():
        found.warnings.append(f"{number_of(len(names), 'file')} {problem}: {describe_names(names)}")


def _warn_of_content(clips: list[Clip], found: Found) -> None:
    labels = {clip.label for clip in clips}
    unlabelled = sum(clip.label is None for clip in clips)
    if unlabelled:
        found.warnings.append(f"{unlabelled} of {len(clips)} clips without a label")
    if len(labels - {None}) == 1:
        found.warnings.append("all labelled clips have one label; a head needs at least two")
    _warn_of_sharing(clips, found, "speaker", lambda clip: clip.speaker)
    _warn_of_sharing(
        [clip for clip in clips if clip.start_seconds is None and clip.end_seconds is None],
        found,
        "file",
        lambda clip: str(clip.path),
    )


def _warn_of_sharing(
    clips: Iterable[Clip], found: Found, what: str, key: Callable[[Clip], str | None]
) -> None:
    """Warn where the same speaker or file stands in two splits: a leak."""
    splits: dict[str, set[str]] = {}
    for clip in clips:
        value = key(clip)
        if value is not None and clip.split is not None:
            splits.setdefault(value, set()).add(clip.split)
    shared = [value for value, in_splits in splits.items() if len(in_splits) > 1]
    if shared:
        found.warnings.append(
            f"{number_of(len(shared), what)} in more than one split (a leak): "
            f"{describe_names(shared)}"
        )
