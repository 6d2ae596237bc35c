"""The doctor on pictures that are odd but harmless: one finding a kind, apart from damage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cache.manifest.clip import Clip
from pipeline.doctor.doctor import diagnose
from pipeline.doctor.examine import Examination, examine_clip
from pipeline.doctor.settings import DoctorSettings
from tests.pipeline.ratios import join, quarters, write_ratio
from tests.pipeline.videos import grey_frame, write_video

FIVE = [quarters()] * 5


def findings(*examined: Examination) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Kind to sentence and clips; each kind once."""
    clips = [Clip(one.clip, Path(one.clip)) for one in examined]
    found = diagnose(clips, {one.clip: one for one in examined}).findings
    assert len({finding.kind for finding in found}) == len(found)
    assert all(finding.severity == "look" for finding in found)
    return {finding.kind: (finding.text, finding.clips) for finding in found}


def seen(clip: str, *notes: str, **fields: Any) -> Examination:
    """An examination of a clip without a flaw, with notes."""
    values = {"frame_size": (48, 64), "pixel_ratio": "1:1", "sound": "present", **fields}
    return Examination(clip, sha256=clip, sound_sha256=clip, notes=notes, **values)


def test_each_kind_of_note_is_one_finding_with_all_its_clips() -> None:
    found = findings(
        seen("a", "interlaced: two moments", "hdr: coded as PQ"),
        seen("b"),
        seen("c", "interlaced: two moments"),
        seen("d", "hdr: coded as HLG"),
        seen("e", "anamorphic: shown 1x1", pixel_ratio="1:1", damage=("3 s are missing",)),
        seen("f", "anamorphic: shown 2x1"),
        seen("g", "anamorphic: shown 3x1"),
        seen("h", "anamorphic: shown 4x1"),
    )
    assert found == {
        "interlaced": ("2 of 8 clips: two moments", ("a", "c")),
        "hdr": ("2 of 8 clips: coded as PQ; coded as HLG", ("a", "d")),
        "anamorphic": (
            "4 of 8 clips: shown 1x1; shown 2x1; shown 3x1; ...",
            ("e", "f", "g", "h"),
        ),
        "damaged": ("3 s are missing", ("e",)),
    }


def test_clips_with_pixels_of_different_shapes_are_one_finding() -> None:
    ratios = {"a": "1:1", "b": "64:45", "c": "1:1", "d": "16:15", "e": "64:45", "f": "1:1"}
    sound_alone = seen("g", pixel_ratio="", frame_size=None)
    found = findings(
        *(seen(clip, pixel_ratio=ratio) for clip, ratio in ratios.items()), sound_alone
    )
    text, clips = found["mixed ratios"]
    assert clips == ("b", "d", "e")
    assert text.startswith(
        "pixels have different shapes: 1:1 in 3 clips, 64:45 in 2 clips, 16:15 in 1 clip; "
    )
    assert "mixed ratios" not in findings(*(seen(clip, pixel_ratio="64:45") for clip in "ab"))


def test_what_is_odd_of_a_clip_shows_in_its_first_frames(tmp_path: Path) -> None:
    wide = write_ratio(tmp_path / "wide.mp4", "64/45", FIVE, turns=1)
    hd = write_video(tmp_path / "hd.mp4", [grey_frame(number, 720, 64) for number in range(5)])
    examined = [
        examine_clip(Clip("wide", wide), DoctorSettings(1)),
        examine_clip(Clip("hd", hd), DoctorSettings(1)),
    ]
    found = findings(*examined)
    assert found["anamorphic"] == ("1 of 2 clips: pixels are not square: shown 91x48", ("wide",))
    assert found["untagged hd"][1] == ("hd",)
    assert found["mixed ratios"][1] == ("hd",)  # of equally many, the first clip's is the usual
    assert examined[0].frame_size == (91, 48)  # turned by a quarter
    assert (examined[0].pixel_ratio, examined[1].pixel_ratio) == ("64:45", "1:1")
    assert examined[0].damage == examined[1].damage == ()


def test_a_ratio_that_changes_between_sampled_frames_is_found(tmp_path: Path) -> None:
    path = join(tmp_path / "a.ts", ("2", [quarters()] * 40), ("1", [quarters()] * 40))
    assert examine_clip(Clip("a", path), DoctorSettings(1)).notes == (
        "anamorphic: pixels are not square: shown 128x48",
    )
    notes = examine_clip(Clip("a", path), DoctorSettings(3)).notes
    assert [note.split(":")[0] for note in notes] == ["anamorphic", "ratio changes"]


def test_without_a_look_at_the_picture_the_header_tells_its_shape(tmp_path: Path) -> None:
    path = write_ratio(tmp_path / "a.mp4", "64/45", FIVE)
    found = examine_clip(Clip("a", path), DoctorSettings(0))
    assert (found.frame_size, found.pixel_ratio, found.notes) == ((48, 91), "64:45", ())
    nearly = write_ratio(tmp_path / "b.mp4", "359/360", FIVE)
    assert examine_clip(Clip("b", nearly), DoctorSettings(0)).pixel_ratio == "1:1"
    ridiculous = write_ratio(tmp_path / "c.mp4", "20", FIVE)
    found = examine_clip(Clip("c", ridiculous), DoctorSettings(1))
    assert (found.pixel_ratio, found.frame_size) == ("1:1", (48, 64))
    assert found.notes == ("ratio ignored: pixels are said to be 20:1, and are taken as square",)
