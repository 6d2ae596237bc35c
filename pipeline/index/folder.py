"""A folder with one subfolder of clips per class, or one per split with the classes below."""

from __future__ import annotations

from pathlib import Path

from cache.manifest.clip import SPLIT_NAMES, Clip
from cache.manifest.clip_id import escape_clip_id
from pipeline.index.files import Found, IndexingError, walk_media


def index_folder(root: Path) -> Found:
    """Index every media file below the class folders of ``root``.

    The first folder's name is the label; folders below it are taken in. Where all first folders are
    named as splits (train, val, test, in any case, and their other names) and hold folders, those
    are the splits and the classes stand below. The id is the path relative to ``root``, escaped
    reversibly: ``angry/clip01.mp4`` becomes ``angry--clip01.mp4``.

    Raises:
        IndexingError: ``root`` is not a folder, or has splits without a class folder in any.
    """
    found = Found(
        root, "media files in one subfolder per class, ROOT/<class>/clip.mp4, or per split"
    )
    paths = [(path, path.relative_to(root).parts) for path in walk_media(root, found)]
    first = {parts[0] for _, parts in paths if len(parts) > 1}
    in_splits = bool(first) and all(name.casefold() in SPLIT_NAMES for name in first)
    # A split whose clips stand in no class folder, as tests are published, has no labels.
    with_classes = {parts[0] for _, parts in paths if len(parts) > 2}
    if in_splits and not with_classes:
        raise IndexingError(
            f"{root} has the splits {', '.join(sorted(first))} and no class folder in them; "
            "expected ROOT/<split>/<class>/clip.mp4"
        )
    for path, parts in paths:
        split, label = None, parts[0]
        if len(parts) == 1:
            found.leave_out(path, "in no class folder")
            continue
        if in_splits:
            split = SPLIT_NAMES[parts[0].casefold()]
            label = parts[1]
            if len(parts) == 2 and parts[0] in with_classes:
                found.leave_out(path, "in no class folder")
                continue
        try:
            clip_id = escape_clip_id("/".join(parts))
        except ValueError:
            found.leave_out(path, "its path is too long for a clip id; shorten it")
            continue
        unlabelled = in_splits and len(parts) == 2
        found.clips.append(Clip(clip_id, path, label=None if unlabelled else label, split=split))
    return found
