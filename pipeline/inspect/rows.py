"""One clip as a row of a contact sheet: from its entry and a few of its frames."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cache.entries.coverage import Coverage
from cache.entries.entry import Entry, EntryError
from cache.wording import number_of
from pipeline.choice.choice import FaceArrays, MisfitError, choose_faces, place_given
from pipeline.choice.clip_persons import ClipPersons, StalePersonsError, check_fresh, persons_of
from pipeline.choice.overrides import Override
from pipeline.faces.crops import crop_faces
from pipeline.faces.detect import FivePointPredictor
from pipeline.faces.tracks import BoxSource, ClipTracks, measure_coverage, read_tracks
from pipeline.inspect.drawing import Cell, Mark, draw_frame, draw_row
from pipeline.inspect.frames import Sample, choose_samples, decode_wanted, limits_of
from pipeline.inspect.request import SheetSettings
from pipeline.inspect.shown import Listed, Shown
from pipeline.media.frames import MediaError


@dataclass(frozen=True)
class Row:
    """One clip's row on a sheet.

    Args:
        clip: its id.
        label: its class, None where unknown.
        state: as ``Listed`` has it.
        why: what it lacks, why it has no entry, or why it can't be shown.
        coverage: of the chosen face; None where there is no entry.
        num_tracks: number of faces that were told apart.
        people: number of a track to the name of its person, where the cache knows some.
        about: size, length and what is odd but harmless, for a user.
        picture: (height, width, 3), uint8; None where there is nothing to draw.
        unseen: it has frames that can't be shown now.
    """

    clip: str
    label: str | None
    state: str
    why: tuple[str, ...]
    coverage: Coverage | None = None
    num_tracks: int = 0
    people: Mapping[int, str] = field(default_factory=dict)
    about: str = ""
    picture: np.ndarray | None = None
    unseen: bool = False

    def describe(self) -> str:
        """Say in one line how much of the clip has a face."""
        coverage = self.coverage
        if coverage is None or not coverage.num_frames:
            return self.about
        lost = coverage.num_with_face < coverage.num_frames
        tracks = number_of(self.num_tracks, "track")
        if self.people:
            named = ", ".join(f"{number} {name}" for number, name in sorted(self.people.items()))
            tracks += f" ({named})"
        parts = [
            f"face in {coverage.num_with_face} of {coverage.num_frames} frames "
            f"({coverage.num_with_face / coverage.num_frames:.1%})",
            coverage.describe_sources() if coverage.num_with_face else "",
            *([f"longest gap {coverage.longest_gap_seconds:.2f} s"] if lost else []),
            tracks,
            self.about,
        ]
        return "; ".join(part for part in parts if part)


def make_row(listed: Listed, shown: Shown, settings: SheetSettings) -> Row:
    """Read a clip's entry, decode the frames to show, and draw them; one frame is held at a time.

    Whatever can't be read is said in the row; nothing is raised for a clip.
    """
    clip = listed.clip
    row = Row(clip.id, clip.label, listed.state, listed.why)
    if listed.state in ("failed", "stale", "missing"):
        return replace(row, unseen=listed.state != "failed")
    try:
        overrides, persons, missing = _read_choice(listed, shown)
        entry = shown.faces.read(clip.id)
        found = read_tracks(entry)
        faces = choose_faces(
            found,
            shown.policy,
            overrides,
            persons=persons,
            switch_seconds=shown.switch_seconds,
        )
    except (EntryError, MisfitError, OSError, ValueError) as error:
        return replace(row, why=(*row.why, str(error)), unseen=True)
    people, stale = _read_people(clip.id, shown)
    row = replace(
        row,
        why=(*row.why, *missing, *stale),
        coverage=measure_coverage(faces.rung, faces.times),
        num_tracks=len(np.unique(found.tracks.number)),
        people=people,
        about="; ".join([_describe_frames(found), *entry.attributes.get("notes", ())]),
    )
    if not len(found.times):
        return row
    samples = choose_samples(faces, found.tracks, settings.frames)
    cells, problem = _draw_cells(
        listed, shown, entry, (found, faces, people), samples, settings.size
    )
    frames = [sample.frame for sample in samples]
    row = replace(row, picture=draw_row(cells, faces, frames, settings.size))
    return replace(row, why=(*row.why, problem), unseen=True) if problem else row


def _read_choice(
    listed: Listed, shown: Shown
) -> tuple[Sequence[Override], ClipPersons | None, tuple[str, ...]]:
    """Return what was chosen by hand for a clip and by person, and what its entry lacks."""
    clip = listed.clip.id
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


def _draw_cells(
    listed: Listed,
    shown: Shown,
    entry: Entry,
    about: tuple[ClipTracks, FaceArrays, Mapping[int, str]],
    samples: Sequence[Sample],
    size: int,
) -> tuple[list[Cell], str]:
    """Draw the frames of a row; where one can't be decoded, draw the reason instead."""
    found, faces, _ = about
    drawn: dict[int, Cell] = {}
    problem = ""
    by_frame = {sample.frame: sample for sample in samples}
    wanted = list(by_frame)
    predictor = FivePointPredictor() if (faces.rung[wanted] == BoxSource.GIVEN).any() else None
    limits = limits_of(entry.provenance)
    try:
        for frame, image in decode_wanted(
            listed.clip, found.times, wanted, found.frame_size, limits
        ):
            images = image[None]
            points = (
                place_given(faces, frame, images, predictor)
                if predictor
                else faces.landmarks[frame : frame + 1]
            )
            one = slice(frame, frame + 1)
            crop = crop_faces(images, points, faces.box[one], faces.rung[one], shown.crops)[0]
            cell = _blank_cell(by_frame[frame], about, points[0])
            drawn[frame] = replace(cell, frame=draw_frame(image, cell.marks, size), crop=crop)
    except (MediaError, ValueError, OSError) as error:
        problem = f"no picture: {error}"
    return [
        drawn.get(s.frame) or _blank_cell(s, about, faces.landmarks[s.frame]) for s in samples
    ], problem


def _blank_cell(
    sample: Sample,
    about: tuple[ClipTracks, FaceArrays, Mapping[int, str]],
    points: np.ndarray,
) -> Cell:
    """Return a cell without its picture: the faces of a frame, the chosen one last."""
    found, faces, people = about
    frame, tracks = sample.frame, found.tracks
    chosen, source = int(faces.track[frame]), BoxSource(int(faces.rung[frame]))
    marks = [
        Mark(
            int(tracks.number[i]),
            BoxSource(int(tracks.rung[i])),
            tracks.box[i],
            tracks.landmarks[i],
            chosen=False,
            person=people.get(int(tracks.number[i]), ""),
        )
        for i in np.flatnonzero(tracks.frame == frame)
        if int(tracks.number[i]) != chosen
    ]
    if source != BoxSource.WHOLE:
        person = people.get(chosen, "")
        marks.append(Mark(chosen, source, faces.box[frame], points, chosen=True, person=person))
    caption = f"{found.times[frame]:.2f} s"
    if sample.why:
        caption += "  " + ", ".join(sample.why)
    return Cell(caption, tuple(marks), None, None)


def _describe_frames(found: ClipTracks) -> str:
    if not len(found.times):
        return "no frames"
    height, width = found.frame_size
    return f"{width}x{height}, {found.times[-1]:.2f} s"
