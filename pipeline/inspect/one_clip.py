"""One clip looked at closely: its time in one picture, and all of its frames."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from cache.commit import write_whole
from cache.entries.entry import EntryError
from cache.manifest.clip import Clip
from cache.sets.feature_set import FeatureSet
from pipeline.choice.choice import MisfitError
from pipeline.inspect.cells import draw_cells, read_faces
from pipeline.inspect.overview import Overview, draw_overview, read_similarity
from pipeline.inspect.pages import write_html
from pipeline.inspect.request import SheetError
from pipeline.inspect.rows import Row, describe_faces
from pipeline.inspect.shown import Shown, list_clip
from pipeline.inspect.sound import read_spectrogram
from pipeline.inspect.sprite import choose_frames, make_sprite

COLUMNS = 900  # of the spectrogram


@dataclass(frozen=True)
class Looked:
    """A clip's page.

    Args:
        row: what is known of it, and its frames.
        overview: its time.
        unseen: what can't be shown, and why.
    """

    row: Row
    overview: Overview
    unseen: tuple[str, ...] = ()


def look_at_clip(
    clip: Clip,
    shown: Shown,
    *,
    network: FeatureSet | None = None,
    sound: FeatureSet | None = None,
    kind: str = "png",
) -> Looked:
    """Read what a cache knows of a clip and draw it; nothing is detected.

    What can't be shown, such as the frames of a video that is gone, is said in the row.

    Args:
        clip: of a manifest.
        shown: which faces.
        network: a set of embeddings per frame, to compare the frames by.
        sound: a set with a spectrogram.
        kind: of the picture: "png", "pdf" or "svg".

    Raises:
        SheetError: there is no entry of the clip's faces that can be used.
    """
    listed = list_clip(clip, shown.chosen)
    if listed.state in ("failed", "stale", "missing"):
        raise SheetError(f"clip {clip.id} is {listed.state}: {'; '.join(listed.why)}")
    try:
        faces = read_faces(clip, shown)
    except (EntryError, MisfitError, OSError, ValueError) as error:
        raise SheetError(f"clip {clip.id} can't be shown: {error}") from error
    why = []
    spectrogram = alike = None
    for feature_set in (network, sound):
        if feature_set is None:
            continue
        try:
            if list_clip(clip, feature_set).state not in ("ok", "partial"):
                raise EntryError(f"it has no entry in {feature_set.folder.name}")
            if feature_set is network:
                alike = read_similarity(feature_set, clip.id)
            else:
                spectrogram = read_spectrogram(feature_set, clip.id, COLUMNS)
        except (EntryError, OSError) as error:
            why.append(f"not shown: {error}")
    wanted = choose_frames(len(faces.found.times))
    _, crops, problem = draw_cells(faces, [], shown.crops, 0, wanted)
    why += [problem] if problem else []
    row = describe_faces(Row(clip.id, clip.label, listed.state, (*listed.why, *why)), faces)
    if crops:
        row = replace(row, frames=make_sprite(crops, faces.chosen, faces.people))
    return Looked(row, draw_overview(faces, spectrogram, alike, kind), tuple(why))


def write_clip(path: Path, looked: Looked) -> None:
    """Write a page (``.html``), or the picture alone.

    Raises:
        OSError: it can't be written.
    """
    if path.suffix.lower() in (".html", ".htm"):
        row = looked.row
        write_html(path, "clip.html", title=row.clip, row=row, back=None, overview=looked.overview)
    else:
        write_whole(path, looked.overview.picture)
