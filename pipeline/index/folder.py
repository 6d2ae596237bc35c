"""A folder with one subfolder of clips per class, or one per split with the classes below.

Levels count the folders below the root from 1; where splits come first, they are level 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cache.manifest.clip import SPLIT_NAMES, Clip
from cache.manifest.clip_id import escape_clip_id
from pipeline.index.files import Found, IndexingError, describe_names, walk_media

# What names of emotions start with in the corpora that people have.
_EMOTIONS = ("ang", "hap", "joy", "sad", "fear", "disg", "surp", "neut")


def index_folder(
    root: Path,
    *,
    label_level: int | None = None,
    speaker_level: int | None = None,
    follow_links: bool = False,
) -> Found:
    """Index every media file below the class folders of ``root``.

    The first folder's name is the label; folders below it are taken in. Where all first folders are
    named as splits (train, val, test, in any case, and their other names) and hold folders, those
    are the splits and the classes stand below. The id is the path relative to ``root``, escaped
    reversibly: ``angry/clip01.mp4`` becomes ``angry--clip01.mp4``.

    Args:
        root: the corpus's folder.
        label_level: level of the folders that are named as the classes; None: the first below the
            splits, with a warning where deeper ones look like the classes.
        speaker_level: level of the folders that are named as the speakers; None: no speakers.
        follow_links: take in what links lead to outside the corpus.

    Raises:
        IndexingError: ``root`` is not a folder, or has splits without a class folder in any, or
            labels and speakers stand on one level.
    """
    found = Found(
        root,
        "media files in one subfolder per class, ROOT/<class>/clip.mp4, or per split",
        follow_links=follow_links,
        own_labels=True,
    )
    paths = [(path, path.relative_to(root).parts) for path in walk_media(root, found)]
    first = {parts[0] for _, parts in paths if len(parts) > 1}
    in_splits = (
        1 not in (label_level, speaker_level)
        and bool(first)
        and all(name.casefold() in SPLIT_NAMES for name in first)
    )
    level = label_level or (2 if in_splits else 1)
    if level == speaker_level:
        raise IndexingError(
            f"labels and speakers would both be the folders on level {level}; "
            "give each its own with --label-level and --speaker-level"
        )
    # A split whose clips stand in no class folder, as tests are published, has no labels.
    with_classes = {parts[0] for _, parts in paths if len(parts) > level}
    if in_splits and not with_classes:
        raise IndexingError(
            f"{root} has the splits {', '.join(sorted(first))} and no class folder in them on "
            f"level {level}; expected ROOT/<split>/<class>/clip.mp4, the class on level 2"
        )
    for path, parts in paths:
        unlabelled = in_splits and len(parts) > 1 and parts[0] not in with_classes
        speaker = dict(enumerate(parts[:-1], 1)).get(speaker_level or 0)
        if len(parts) <= level and not unlabelled:
            found.leave_out(path, "in no class folder")
        elif speaker_level and speaker is None and not unlabelled:
            found.leave_out(path, "in no speaker folder")
        else:
            label = None if unlabelled else parts[level - 1]
            split = SPLIT_NAMES[parts[0].casefold()] if in_splits else None
            found.clips.append(Clip(escape_clip_id("/".join(parts)), path, label, split, speaker))
    if label_level is None:
        _warn_of_deeper_labels([parts[:-1] for _, parts in paths], level, found)
    return found


def _warn_of_deeper_labels(folders: Sequence[Sequence[str]], level: int, found: Found) -> None:
    """Warn where folders below the labels look like the labels, and the labels like speakers.

    Names that recur under most labels may be classes below speakers, or speakers below classes:
    they are taken for classes where two start as emotions do and no label does, or where the labels
    are numbered (``subject 1``, ``M003``) and they aren't.
    """
    labels = {names[level - 1] for names in folders if len(names) >= level}
    if any(_is_emotion(name) for name in labels) or len(labels) < 2:
        return
    numbered = 2 * sum(_is_numbered(name) for name in labels) > len(labels)
    candidates: list[tuple[int, int, list[str]]] = []
    for deeper in range(level + 1, max(map(len, folders), default=0) + 1):
        pairs = {(names[level - 1], names[deeper - 1]) for names in folders if len(names) >= deeper}
        counts = Counter(name for _, name in pairs)
        recurring = sorted(name for name, count in counts.items() if 2 * count > len(labels))
        num_emotions = sum(_is_emotion(name) for name in recurring)
        plain = [name for name in recurring if not _is_numbered(name)]
        if num_emotions >= 2 or (numbered and len(plain) >= 2):
            candidates.append((num_emotions, -deeper, recurring))
    if candidates:
        _, minus_level, names = max(candidates)
        found.warnings.append(
            f"the labels are {describe_names(sorted(labels))}; the names {describe_names(names)} "
            f"recur below most of them: did you mean --label-level {-minus_level} "
            f"--speaker-level {level}?"
        )


def _is_emotion(name: str) -> bool:
    return name.casefold().startswith(_EMOTIONS)


def _is_numbered(name: str) -> bool:
    return any(character.isdigit() for character in name)
