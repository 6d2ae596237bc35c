"""AFEW (EmotiW): ``Train_AFEW/<Emotion>/*.avi``, ``Val_AFEW/<Emotion>/*.avi`` and the test clips.

The test clips are published without labels, in one folder (``Test_vid_Distribute``).

Source:
    Dhall et al., "Collecting Large, Richly Annotated Facial-Expression Databases from Movies", IEEE
    MultiMedia 2012, and the EmotiW 2017 and 2018 downloads, whose folders public loaders name:
    https://github.com/albanie/mcnDatasets (afew3.0, counts 773 + 383 + test) and the scripts that
    unpack Train_AFEW.zip, Val_AFEW.zip and Test_vid_Distribute.rar. That two clips stand in both
    splits: the released score tables, where one name is in train and in validation.
"""

from __future__ import annotations

from pathlib import Path

from cache.manifest.clip import Clip
from cache.wording import number_of
from pipeline.index.files import Found, describe_names, is_video, walk_media

EMOTIONS = ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
# The splits by the folders they are unpacked to, the published name first.
SPLIT_FOLDERS = {
    "train_afew": "train",
    "train": "train",
    "val_afew": "val",
    "val": "val",
    "test_vid_distribute": "test",
    "test_afew": "test",
    "test": "test",
}


def index_afew(root: Path, *, keep_shared: bool = False, follow_links: bool = False) -> Found:
    """Index the clips of the official split; the id is the file's name without ``.avi``.

    Labels are in small letters (``angry`` ... ``surprise``). AFEW names no speakers. A clip that
    stands in training and in another split is left out of training, so that the split that
    measures stays as published.

    Args:
        root: the folder that holds Train_AFEW and Val_AFEW.
        keep_shared: index a shared clip in training too, its id ending in ``-train``.
        follow_links: take in what links lead to outside the corpus.

    Raises:
        IndexingError: ``root`` is not a folder.
    """
    found = Found(
        root, "Train_AFEW/<Emotion>/*.avi and Val_AFEW/<Emotion>/*.avi", follow_links=follow_links
    )
    splits: dict[str, dict[str, list[Clip]]] = {"train": {}, "val": {}, "test": {}}
    for path in walk_media(root, found):
        if not is_video(path):
            found.leave_out(path, "sound only; AFEW's clips are video")
            continue
        split, label = _split_and_label(path.relative_to(root).parts[:-1])
        if split is None or (label is None and split != "test"):
            found.leave_out(path, "in no folder <split>/<Emotion>")
            continue
        clip = Clip(path.stem, path, label=label, split=split)
        splits[split].setdefault(path.stem, []).append(clip)
    shared = sorted(splits["train"].keys() & (splits["val"].keys() | splits["test"].keys()))
    for split, by_name in splits.items():
        for name, clips in sorted(by_name.items()):
            for clip in clips[1:]:
                found.leave_out(clip.path, f"has the name of another clip of {split}")
            if split != "train" or name not in shared:
                found.clips.append(clips[0])
            elif keep_shared:
                found.clips.append(Clip(f"{name}-train", clips[0].path, clips[0].label, split))
            else:
                found.leave_out(clips[0].path, "stands in another split too (a leak)")
    if shared:
        what = "kept" if keep_shared else "left out of training; --keep-shared keeps them"
        found.warnings.append(
            f"{number_of(len(shared), 'clip')} in training and in another split, {what}: "
            f"{describe_names(shared)}"
        )
    return found


def _split_and_label(folders: tuple[str, ...]) -> tuple[str | None, str | None]:
    """Read split and label from the folders above a clip."""
    split = next(
        (SPLIT_FOLDERS[name.lower()] for name in folders if name.lower() in SPLIT_FOLDERS), None
    )
    last = folders[-1].capitalize() if folders else ""
    return split, last.lower() if last in EMOTIONS else None
