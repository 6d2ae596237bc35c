"""Contact sheets of persons, least certain first, and the manifest with proposed speakers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from cache.commit import check_place
from cache.entries.entry import EntryError
from cache.manifest.clip import Clip
from cache.manifest.manifest import Manifest, write_manifest
from cache.persons import Person
from cache.wording import number_of
from pipeline.inspect.frames import decode_wanted, limits_of
from pipeline.inspect.pages import page_name, write_html
from pipeline.media.frames import MediaError
from pipeline.persons.cluster import measure_widths
from pipeline.persons.find import Found
from pipeline.persons.gather import Sets, Thumbnail

PER_PAGE = 24  # persons: with MOST_FACES of 5 kB each, 3 MB
MOST_FACES = 24  # of a person
MOST_DOUBTS = 12  # of a person, the nearest
SIZE = 96  # pixels of a face's longer side
MARGIN = 0.3  # of a box's larger side, around it
MANIFEST = "manifest.csv"
CONFIDENCE = "speaker_confidence"


@dataclass
class Made:
    """Result of drawing persons.

    Args:
        files: what was written, the manifest first.
        unseen: clip to the reason why its faces couldn't be shown.
    """

    files: list[Path] = field(default_factory=list)
    unseen: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Face:
    """A track on a sheet; ``picture`` is (height, width, 3), uint8, or None."""

    clip: str
    track: int
    distance: str
    thumbnail: Thumbnail | None
    picture: np.ndarray | None = None


@dataclass(frozen=True)
class _Shown:
    """A person on a sheet."""

    name: str
    about: str
    doubts: Sequence[str]
    faces: Sequence[_Face]


def check_output(output: Path, cache: Path) -> None:
    """Refuse a folder that sheets don't belong in, before any work.

    Raises:
        ValueError: it is in the cache, or has a manifest that ``write_sheets`` didn't write.
        OSError: it can't be written or read.
    """
    if output.resolve().is_relative_to(cache.resolve()):
        raise ValueError(f"{output} is in the cache, which is not for sheets; name another folder")
    check_place(output)
    path = output / MANIFEST
    if path.exists() and CONFIDENCE.encode() not in path.read_bytes()[:1000]:
        raise ValueError(f"{path} is a manifest of yours; name another folder with --out")


def write_sheets(
    table: Manifest,
    found: Found,
    sets: Sets,
    output: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Made:
    """Write the manifest with the proposed speakers, and pages that need no other file.

    A speaker that the manifest states stays. The same videos and persons yield the same bytes; the
    faces of one page are held at a time. Pages that an earlier call left are removed.

    Args:
        table: the manifest.
        found: its persons.
        sets: where they were found.
        output: a folder; made where it is missing.
        progress: called with the number of persons done and of all.

    Raises:
        ValueError: see ``check_output``.
        OSError: something can't be written.
    """
    check_output(output, sets.identity.cache)
    output.mkdir(parents=True, exist_ok=True)
    made = Made([_write_manifest(table, found, output / MANIFEST)])
    persons = sorted(found.persons.persons, key=lambda person: person.confidence)
    distances = _measure_distances(found)
    speaks = Counter(row.speaker for row in found.persons.clips.values())
    doubts: dict[str, list[str]] = {}
    for pair in found.persons.doubtful:
        for one, other in ((pair.one, pair.other), (pair.other, pair.one)):
            text = f"may be the same as {other} (distance {pair.distance:.2f})"
            doubts.setdefault(one, []).append(text)
    pages = max(1, -(-len(persons) // PER_PAGE))
    for page in range(1, pages + 1):
        some = persons[(page - 1) * PER_PAGE : page * PER_PAGE]
        shown = [
            _show(person, found, distances, speaks[person.name], doubts.get(person.name, []))
            for person in some
        ]
        pictures = _cut_out(shown, table.by_id, sets, made)
        path = output / page_name(page)
        write_html(
            path,
            "page.html",
            folder=Path(__file__).parent,
            title=f"Persons of {table.path.name}: {number_of(len(persons), 'person')}",
            page=page,
            pages=pages,
            persons=[
                replace(
                    one,
                    faces=[
                        replace(face, picture=pictures.get((face.clip, face.track)))
                        for face in one.faces
                    ],
                )
                for one in shown
            ],
        )
        made.files.append(path)
        if progress:
            progress(min(page * PER_PAGE, len(persons)), len(persons))
    for old in output.glob("page-*.html"):
        if old not in made.files and b'content="avfuse persons"' in old.read_bytes()[:1000]:
            old.unlink()
    return made


def _write_manifest(table: Manifest, found: Found, path: Path) -> Path:
    clips = []
    for clip in table.clips:
        row = found.persons.clips.get(clip.id)
        if not clip.stated_speaker:
            proposed = (row.speaker, row.confidence) if row and row.speaker else (None, None)
            clip = replace(clip, speaker=proposed[0], speaker_confidence=proposed[1])
        clips.append(clip)
    return write_manifest(path, clips, overwrite=True, always=[CONFIDENCE])


def _measure_distances(found: Found) -> Mapping[tuple[str, int], float]:
    """Return each track's distance from the others of its person."""
    tracks = found.tracks
    label = np.arange(len(tracks)) + len(found.persons.persons)
    for number, person in enumerate(found.persons.persons):
        label[[tracks.rows[one.clip][one.track] for one in person.tracks]] = number
    widths = measure_widths(tracks.groups, np.unique(label, return_inverse=True)[1])
    at = zip(tracks.clips, tracks.number.tolist(), strict=True)
    return dict(zip(at, widths.tolist(), strict=True))


def _show(
    person: Person,
    found: Found,
    distances: Mapping[tuple[str, int], float],
    speaks: int,
    doubts: Sequence[str],
) -> _Shown:
    faces = [
        _Face(
            one.clip,
            one.track,
            f"{distances[(one.clip, one.track)]:.2f}",
            found.tracks.thumbnails[found.tracks.rows[one.clip][one.track]],
        )
        for one in sorted(person.tracks, key=lambda one: -distances[(one.clip, one.track)])
    ]
    about = (
        f"{number_of(len(person.clips), 'clip')}, {number_of(len(person.tracks), 'track')}, "
        f"speaker of {number_of(speaks, 'clip')}; confidence {person.confidence:.2f}"
    )
    if len(faces) > MOST_FACES:
        about += f"; the first {MOST_FACES} faces are shown"
    rest = [f"and as {len(doubts) - MOST_DOUBTS} more"] if doubts[MOST_DOUBTS:] else []
    return _Shown(person.name, about, [*doubts[:MOST_DOUBTS], *rest], faces[:MOST_FACES])


def _cut_out(
    shown: Sequence[_Shown], clips: Mapping[str, Clip], sets: Sets, made: Made
) -> dict[tuple[str, int], np.ndarray]:
    """Cut the faces of a page out of their videos, clip by clip; what can't be had is noted."""
    wanted: dict[str, list[_Face]] = {}
    for one in shown:
        for face in one.faces:
            if face.thumbnail is not None:
                wanted.setdefault(face.clip, []).append(face)
    pictures: dict[tuple[str, int], np.ndarray] = {}
    for clip in sorted(wanted):
        try:
            entry = sets.faces.read(clip, ["times"])
            height, width = entry.attributes.get("frame_size") or (0, 0)
            times = entry.arrays["times"]
            at: dict[int, list[_Face]] = {}
            for face in wanted[clip]:
                if face.thumbnail is not None:
                    frame = int(np.abs(times - face.thumbnail.seconds).argmin())
                    at.setdefault(frame, []).append(face)
            limits = limits_of(entry.provenance)
            for frame, image in decode_wanted(
                clips[clip], times, sorted(at), (int(height), int(width)), limits
            ):
                for face in at[frame]:
                    if face.thumbnail is not None:
                        pictures[(clip, face.track)] = cut_face(image, face.thumbnail.box)
        except (EntryError, MediaError, ValueError, OSError) as error:
            made.unseen[clip] = str(error)
    return pictures


def cut_face(image: np.ndarray, box: Sequence[float]) -> np.ndarray:
    """Cut a face and a margin around it out of a frame, at most ``SIZE`` pixels in both sides.

    Shapes:
        ``image``: (H, W, 3), uint8.
        result: (h, w, 3), uint8.
    """
    height, width = image.shape[:2]
    left, top, right, bottom = np.clip(box, -1e6, 1e6).tolist()
    margin = MARGIN * max(right - left, bottom - top, 1)
    columns = _inside(left - margin, right + margin, width)
    rows = _inside(top - margin, bottom + margin, height)
    part = image[rows, columns]
    scale = SIZE / max(part.shape[:2])
    size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small: np.ndarray = cv2.resize(np.ascontiguousarray(part), size, interpolation=how)
    return small


def _inside(start: float, end: float, size: int) -> slice:
    """Return the part of a side of a frame that a box covers, of one pixel at least."""
    first = min(max(0, round(start)), size - 1)
    return slice(first, max(first + 1, min(round(end), size)))
