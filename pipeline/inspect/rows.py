"""One clip as a row of a contact sheet: from its entry and a few of its frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from cache.entries.coverage import Coverage
from cache.entries.entry import EntryError
from cache.wording import number_of
from pipeline.choice.choice import MisfitError
from pipeline.faces.tracks import ClipTracks, measure_coverage
from pipeline.inspect.cells import ClipFaces, draw_cells, read_faces
from pipeline.inspect.drawing import draw_row
from pipeline.inspect.frames import choose_samples
from pipeline.inspect.request import SheetSettings
from pipeline.inspect.shown import Listed, Shown
from pipeline.inspect.sprite import Sprite, choose_frames, make_sprite

LONGEST = 2000  # frames of a clip up to which a sheet decodes all of them


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
        frames: all frames, small; None where they weren't wanted.
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
    frames: Sprite | None = None

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


def make_row(
    listed: Listed, shown: Shown, settings: SheetSettings, *, all_frames: bool = False
) -> Row:
    """Read a clip's entry, decode the frames to show, and draw them; one frame is held at a time.

    Whatever can't be read is said in the row; nothing is raised for a clip.

    Args:
        listed: the clip.
        shown: which sets.
        settings: how it looks.
        all_frames: also make small crops of all frames, but for a clip of more than ``LONGEST``.
    """
    clip = listed.clip
    row = Row(clip.id, clip.label, listed.state, listed.why)
    if listed.state in ("failed", "stale", "missing"):
        return replace(row, unseen=listed.state != "failed")
    try:
        faces = read_faces(clip, shown)
    except (EntryError, MisfitError, OSError, ValueError) as error:
        return replace(row, why=(*row.why, str(error)), unseen=True)
    found, chosen = faces.found, faces.chosen
    row = describe_faces(row, faces)
    if not len(found.times):
        return row
    samples = choose_samples(chosen, found.tracks, settings.frames)
    every = all_frames and len(found.times) <= LONGEST
    cells, crops, problem = draw_cells(
        faces,
        samples,
        shown.crops,
        settings.size,
        choose_frames(len(found.times)) if every else (),
    )
    frames = [sample.frame for sample in samples]
    row = replace(
        row,
        picture=draw_row(cells, chosen, frames, settings.size),
        frames=make_sprite(crops, chosen, faces.people) if crops else None,
    )
    return replace(row, why=(*row.why, problem), unseen=True) if problem else row


def describe_faces(row: Row, faces: ClipFaces) -> Row:
    """Return a clip's row with what its faces say of it."""
    found, chosen = faces.found, faces.chosen
    return replace(
        row,
        why=(*row.why, *faces.missing),
        coverage=measure_coverage(chosen.rung, chosen.times),
        num_tracks=len(np.unique(found.tracks.number)),
        people=faces.people,
        about="; ".join([_describe_frames(found), *faces.entry.attributes.get("notes", ())]),
    )


def _describe_frames(found: ClipTracks) -> str:
    if not len(found.times):
        return "no frames"
    height, width = found.frame_size
    return f"{width}x{height}, {found.times[-1]:.2f} s"
