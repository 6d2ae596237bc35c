"""Faces of one clip, read from its entry, and the few of its frames that are drawn with them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cache.entries.entry import Entry
from cache.manifest.clip import Clip
from pipeline.choice.choice import FaceArrays, choose_faces, place_given
from pipeline.choice.clip_persons import ClipPersons, StalePersonsError, check_fresh, persons_of
from pipeline.choice.overrides import Override
from pipeline.faces.crops import crop_faces
from pipeline.faces.detect import FivePointPredictor
from pipeline.faces.settings import CropSettings
from pipeline.faces.tracks import BoxSource, ClipTracks, read_tracks
from pipeline.inspect.drawing import Cell, Mark, draw_frame
from pipeline.inspect.frames import Sample, decode_wanted, limits_of
from pipeline.inspect.shown import Shown
from pipeline.inspect.sprite import shrink
from pipeline.media.frames import MediaError


@dataclass(frozen=True)
class ClipFaces:
    """Faces of one clip as a set of the cache has them.

    Args:
        clip: whose they are.
        entry: of the set ``faces``.
        found: all tracks.
        chosen: one face a frame.
        people: number of a track to the name of its person, where the cache knows some.
        missing: what the entry of the shown set lacks, and why persons aren't known.
    """

    clip: Clip
    entry: Entry
    found: ClipTracks
    chosen: FaceArrays
    people: Mapping[int, str]
    missing: tuple[str, ...]

    def marks(self, frame: int, points: np.ndarray) -> tuple[Mark, ...]:
        """Return the faces of a frame, the chosen one last, with its landmarks ``points``."""
        tracks, chosen = self.found.tracks, int(self.chosen.track[frame])
        source = BoxSource(int(self.chosen.rung[frame]))
        marks = [
            Mark(
                int(tracks.number[i]),
                BoxSource(int(tracks.rung[i])),
                tracks.box[i],
                tracks.landmarks[i],
                chosen=False,
                person=self.people.get(int(tracks.number[i]), ""),
            )
            for i in np.flatnonzero(tracks.frame == frame)
            if int(tracks.number[i]) != chosen
        ]
        if source != BoxSource.WHOLE:
            person, box = self.people.get(chosen, ""), self.chosen.box[frame]
            marks.append(Mark(chosen, source, box, points, chosen=True, person=person))
        return tuple(marks)


def read_faces(clip: Clip, shown: Shown) -> ClipFaces:
    """Read a clip's tracks and choose its face as the shown set does.

    Raises:
        EntryError: an entry is damaged.
        MisfitError: what was chosen by hand doesn't fit the clip.
        ValueError: the choice can't be made.
        OSError: an entry can't be read.
    """
    overrides, persons, missing = _read_choice(clip.id, shown)
    entry = shown.faces.read(clip.id)
    found = read_tracks(entry)
    chosen = choose_faces(
        found, shown.policy, overrides, persons=persons, switch_seconds=shown.switch_seconds
    )
    people, stale = _read_people(clip.id, shown)
    return ClipFaces(clip, entry, found, chosen, people, (*missing, *stale))


def draw_cells(
    faces: ClipFaces,
    samples: Sequence[Sample],
    crops: CropSettings,
    size: int,
    small: Sequence[int] = (),
) -> tuple[list[Cell], dict[int, np.ndarray], str]:
    """Draw some frames with their faces and crops; where one can't be decoded, say why.

    The clip is decoded once, for these and for the small ones.

    Args:
        faces: of the clip.
        samples: the frames, in order.
        crops: how a face is cut out.
        size: width of a frame in pixels.
        small: frames whose crop alone is wanted, small.

    Returns:
        The cells of the samples, the small crops by the number of the frame, and what is wrong.
    """
    drawn: dict[int, Cell] = {}
    problem = ""
    by_frame = {sample.frame: sample for sample in samples}
    wanted = sorted({*by_frame, *small})
    crops_of: dict[int, np.ndarray] = {}
    try:
        for frame, image, points, crop in cut_out(faces, wanted, crops):
            if frame in by_frame:
                cell = _blank_cell(faces, by_frame[frame], points)
                drawn[frame] = replace(cell, frame=draw_frame(image, cell.marks, size), crop=crop)
            if small:
                crops_of[frame] = shrink(crop)
    except (MediaError, ValueError, OSError) as error:
        problem = f"no picture: {error}"
    cells = [
        drawn.get(s.frame) or _blank_cell(faces, s, faces.chosen.landmarks[s.frame])
        for s in samples
    ]
    return cells, crops_of, problem


def cut_out(
    faces: ClipFaces, wanted: Sequence[int], crops: CropSettings
) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """Decode some frames of a clip and cut out the chosen face; one frame is held at a time.

    Args:
        faces: of the clip.
        wanted: numbers of frames, increasing.
        crops: how a face is cut out.

    Yields:
        Number, image (H, W, 3), landmarks (5, 2) and crop (size, size, 3) of each.

    Raises:
        MediaError: see ``decode_wanted``.
    """
    chosen, found = faces.chosen, faces.found
    given = (chosen.rung[list(wanted)] == BoxSource.GIVEN).any()
    predictor = FivePointPredictor() if given else None
    limits = limits_of(faces.entry.provenance)
    for frame, image in decode_wanted(faces.clip, found.times, wanted, found.frame_size, limits):
        images, one = image[None], slice(frame, frame + 1)
        points = (
            place_given(chosen, frame, images, predictor) if predictor else chosen.landmarks[one]
        )
        crop = crop_faces(images, points, chosen.box[one], chosen.rung[one], crops)[0]
        yield frame, image, points[0], crop


def _blank_cell(faces: ClipFaces, sample: Sample, points: np.ndarray) -> Cell:
    """Return a cell without its picture."""
    caption = f"{faces.found.times[sample.frame]:.2f} s"
    if sample.why:
        caption += "  " + ", ".join(sample.why)
    return Cell(caption, faces.marks(sample.frame, points), None, None)


def _read_choice(
    clip: str, shown: Shown
) -> tuple[Sequence[Override], ClipPersons | None, tuple[str, ...]]:
    """Return what was chosen by hand for a clip and by person, and what its entry lacks."""
    entry = shown.chosen.read(clip, ())
    persons = None
    if shown.persons is not None:
        check_fresh(shown.faces.cache, clip, shown.persons)
        persons = persons_of(clip, shown.persons, shown.policy)
    elif shown.policy == shown.chosen.spec.settings.get("policy"):
        stated = entry.attributes.get("by_person")
        persons = ClipPersons.from_json(stated) if stated else None
    if shown.overrides is not None:
        return shown.overrides.get(clip, ()), persons, entry.missing
    by_hand = entry.attributes.get("by_hand", ())
    return [_read_override(values) for values in by_hand], persons, entry.missing


def _read_people(clip: str, shown: Shown) -> tuple[Mapping[int, str], tuple[str, ...]]:
    """Return the names of a clip's persons by track, and why they aren't known."""
    if shown.people is None or clip not in shown.people.clips:
        return {}, ()
    try:
        check_fresh(shown.faces.cache, clip, shown.people)
    except StalePersonsError as error:
        return {}, (str(error),)
    return shown.people.in_clip(clip), ()


def _read_override(values: Mapping[str, Any]) -> Override:
    """Build an override from what ``Override.to_json`` returned; an open end is None there."""
    start, end, box = values["start_seconds"], values["end_seconds"], values["box"]
    return Override(
        start_seconds=-math.inf if start is None else start,
        end_seconds=math.inf if end is None else end,
        track=values["track"],
        box=None if box is None else (box[0], box[1], box[2], box[3]),
    )
