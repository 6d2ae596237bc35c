"""eNTERFACE'05: ``subject N/<emotion>/sentence K/sN_<code>_K.avi``, six emotions of 44 people.

File names aren't kept to everywhere (``s_3_an_1.avi`` for subject 3), and the videos of subject 6
stand in the emotion's folder itself, so that subject and emotion are read from the folders.

Source:
    Martin, Kotsia, Macq, Pitas, "The eNTERFACE'05 Audio-Visual Emotion Database", ICDE Workshops
    2006. Folders and names of the download as public loaders meet them: the README of
    https://github.com/albanie/mcnDatasets (enterface: 44 subjects, 1,293 videos, hyphens for
    spaces), loaders that part ``s_3_an_1``, and those that leave out subjects 6 and 23.
"""

from __future__ import annotations

import re
from pathlib import Path

from cache.manifest.clip import Clip
from cache.wording import number_of
from pipeline.index.files import Found, describe_names, is_video, walk_media
from pipeline.index.media import take_best

EMOTIONS = {
    "anger": "an",
    "disgust": "di",
    "fear": "fe",
    "happiness": "ha",
    "sadness": "sa",
    "surprise": "su",
}

_SUBJECT = re.compile(r"subject[ _-]?0*(\d{1,3})", re.I | re.ASCII)
_SENTENCE = re.compile(r"sentence[ _-]?0*(\d{1,3})", re.I | re.ASCII)
_NAME = re.compile(r"s_?0*(\d{1,3})_([a-z]{2})_?0*(\d{1,3})", re.I | re.ASCII)


def index_enterface(root: Path, *, follow_links: bool = False) -> Found:
    """Index every video; label and speaker are those of its folders, the id is like ``s1_an_1``.

    Args:
        root: a folder that holds the folders of the subjects, at any depth.
        follow_links: take in what links lead to outside the corpus.

    Raises:
        IndexingError: ``root`` is not a folder.
    """
    found = Found(
        root,
        "subject 1/anger/sentence 1/s1_an_1.avi, as eNTERFACE'05 publishes them",
        follow_links=follow_links,
    )
    takes: dict[tuple[int, str, int], list[Path]] = {}
    misnamed = []
    for path in walk_media(root, found):
        place = _read_folders((root.name, *path.relative_to(root).parts[:-1]))
        name = _NAME.fullmatch(path.stem)
        if not is_video(path):
            found.leave_out(path, "sound only; eNTERFACE's clips are video")
            continue
        if place is None:
            found.leave_out(path, "in no folder subject <N>/<emotion>")
            continue
        subject, emotion, sentence = place
        if not name or (int(name[1]), name[2].lower()) != (subject, EMOTIONS[emotion]):
            misnamed.append(found.relative(path))
        number = sentence if sentence is not None else int(name[3]) if name else 0
        takes.setdefault((subject, emotion, number), []).append(path)
    for (subject, emotion, number), paths in sorted(takes.items()):
        take = f"s{subject}_{EMOTIONS[emotion]}_{number}"
        stems = {path.stem for path in paths}
        for stem in sorted(stems):
            path = take_best([path for path in paths if path.stem == stem], found)
            clip_id = take if len(stems) == 1 else f"{take}_{stem}"
            found.clips.append(Clip(clip_id, path, label=emotion, speaker=f"subject {subject}"))
    if misnamed:
        found.warnings.append(
            f"{number_of(len(misnamed), 'file')} not named for the subject and emotion of the "
            f"folders, which are taken: {describe_names(misnamed)}"
        )
    shared = [paths[0].parent for paths in takes.values() if len({path.stem for path in paths}) > 1]
    if shared:
        found.warnings.append(
            f"{number_of(len(shared), 'sentence')} with several videos, all taken: "
            f"{describe_names([found.relative(folder) for folder in shared])}"
        )
    return found


def _read_folders(folders: tuple[str, ...]) -> tuple[int, str, int | None] | None:
    """Read subject, emotion and sentence from the folders above a video; None without the first."""
    for position, folder in enumerate(folders[:-1]):
        subject, emotion = _SUBJECT.fullmatch(folder), folders[position + 1].lower()
        if subject and emotion in EMOTIONS:
            sentences = [_SENTENCE.fullmatch(name) for name in folders[position + 2 :]]
            numbers = [int(match[1]) for match in sentences if match]
            return int(subject[1]), emotion, numbers[0] if numbers else None
    return None
