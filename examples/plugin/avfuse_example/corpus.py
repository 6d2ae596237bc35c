"""A corpus without a table: ``ROOT/<speaker>/<label>_<take>.mp4``."""

from __future__ import annotations

from pathlib import Path

from cache.manifest.clip import Clip
from cache.manifest.clip_id import escape_clip_id
from pipeline.index.files import Found, walk_media


def index_speaker_folders(root: Path, *, follow_links: bool = False) -> Found:
    """Index one clip for each file; its folder is the speaker, its name begins with the label.

    Args:
        root: the corpus's folder.
        follow_links: take in what links lead to outside the corpus.

    Raises:
        pipeline.index.files.IndexingError: ``root`` is not a folder.
    """
    found = Found(root, "<speaker>/<label>_<take>.mp4", follow_links=follow_links)
    for path in walk_media(root, found):
        speaker, *deeper = path.relative_to(root).parts
        label, underscore, take = path.stem.partition("_")
        if len(deeper) != 1 or not (label and underscore and take):
            found.leave_out(path, "not named <speaker>/<label>_<take>")
            continue
        name = f"{speaker}/{path.stem}"  # unique in the corpus, whatever the suffix
        found.clips.append(Clip(escape_clip_id(name), path, label=label, speaker=speaker))
    return found
