"""The doctor on faces: what it finds in the frames that it looks at, and what it says of a clip."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from cache.manifest.clip import Clip
from cache.settings import settings_from
from pipeline.choice.choice import find_faces
from pipeline.cli import main
from pipeline.doctor.doctor import diagnose
from pipeline.doctor.examine import SEEK_FROM_SECONDS, Examination, examine_clip
from pipeline.doctor.settings import DoctorSettings
from pipeline.faces.tracks import BoxSource
from pipeline.media.frames import VideoReader
from tests.pipeline.scenes import background, place
from tests.pipeline.videos import grey_frame, number_of, read_all, write_video

ROOM = background(240, 320, 3)
FACE = place(ROOM, (160, 120), 90)
LYING = place(ROOM, (160, 120), 90, tilt=75)  # dlib sees none in it, YuNet does
TWO = place(place(background(240, 480, 3), (120, 120), 90), (360, 120), 60)
FAR = place(place(background(240, 480, 3), (120, 120), 130), (400, 60), 43)
DOLL = place(ROOM, (160, 120), 26)


def video(folder: Path, images: Sequence[np.ndarray], *, rate: int = 25) -> Clip:
    return Clip("a", write_video(folder / "a.mp4", list(images), codec="mpeg4", rate=rate))


def examine(clip: Clip, sample: int = 16, **faces: Any) -> Examination:
    return examine_clip(clip, settings_from(DoctorSettings, {"sample": sample, "faces": faces}))


def findings(*examined: Examination) -> dict[str, str]:
    clips = [Clip(one.clip, Path(one.clip)) for one in examined]
    found = diagnose(clips, {one.clip: one for one in examined}).findings
    assert {finding.severity for finding in found} <= {"look"}
    return {finding.kind: finding.text for finding in found}


def looked(clip: str, with_face: int, **fields: Any) -> Examination:
    """An examination of a clip without another flaw, 16 of whose frames were looked at."""
    return Examination(
        clip, sha256=clip, sound_sha256=clip, sound="present", frame_size=(48, 64),
        sampled_frames=16, frames_with_face=with_face, **fields,
    )  # fmt: skip


@pytest.mark.slow
def test_a_clip_whose_face_is_there_when_three_frames_are_looked_at_and_seldom_else_is_told(
    tmp_path: Path,
) -> None:
    """48 frames, of which 0, 16 and 32 show a face: the doctor looked at just these."""
    clip = video(tmp_path, [FACE if number % 16 == 0 else ROOM for number in range(48)])
    three, now = examine(clip, sample=3), examine(clip)
    assert (three.sampled_frames, three.frames_with_face) == (3, 3)
    assert (now.sampled_frames, now.frames_with_face) == (16, 1)  # every third
    assert set(findings(three)) == {"no sound"}
    assert findings(now)["few faces"] == (
        "1 of 1 clips: a face in fewer than half of the sampled frames; a network sees the others "
        "whole (a 1 of 16 frames)"
    )


@pytest.mark.slow
def test_a_face_that_only_the_second_detector_sees_counts_as_it_does_in_extract(
    tmp_path: Path,
) -> None:
    clip = video(tmp_path, [LYING] * 5)
    assert examine(clip).frames_with_face == 5
    for found in (examine(clip, ladder="papers"), examine(clip, second="none")):
        assert (found.sampled_frames, found.frames_with_face) == (5, 0)
        assert "no face" in findings(found)
    strict = examine(clip, second_threshold=0.99)
    assert (strict.frames_with_face, strict.uncertain_frames) == (0, 5)
    assert "there may be a face that extract doesn't take" in findings(strict)["uncertain face"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("image", "kinds"),
    [(FACE, set()), (TWO, {"several faces"}), (FAR, set()), (DOLL, {"small face"})],
    ids=["one", "two", "one far behind", "small"],
)
def test_several_faces_of_similar_size_and_small_ones_are_told(
    tmp_path: Path, image: np.ndarray, kinds: set[str]
) -> None:
    found = examine(video(tmp_path, [image] * 3))
    assert found.frames_with_face == 3
    assert set(findings(found)) - {"no sound"} == kinds


def test_each_kind_is_one_finding_with_the_clips_and_their_counts() -> None:
    assert findings(
        looked("all", 16),
        looked("half", 8, frames_with_several=3, uncertain_frames=2),
        looked("few", 7, uncertain_frames=3, face_size=31.6),
        looked("one", 1, frames_with_several=1, face_size=32.0),
        looked("none", 0, uncertain_frames=16),
        looked("crowd", 16, frames_with_several=4),
        Examination("unseen", sha256="u", sound_sha256="u", sound="present", frame_size=(48, 64)),
    ) == {
        "no face": "1 of 6 clips: no face in any sampled frame (none)",
        "few faces": "2 of 6 clips: a face in fewer than half of the sampled frames; a network "
        "sees the others whole (few 7 of 16 frames, one 1 of 16 frames)",
        "uncertain face": "2 of 6 clips: there may be a face that extract doesn't take, for its "
        "score is too low (few 3 of 16 frames, none 16 of 16 frames)",
        "several faces": "1 of 6 clips: several faces of similar size at once; faces.policy "
        "decides whose is used (crowd 4 of 16 frames)",
        "small face": "1 of 6 clips: faces of less than 32 pixels, of which a crop shows little "
        "(few 32 pixels)",
    }


@pytest.mark.parametrize("seeks", [False, True])
def test_frames_are_spread_evenly_over_a_clip_however_they_are_read(
    tmp_path: Path, seeks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 22 frames every other is looked at, each once."""
    clip = video(tmp_path, [grey_frame(number) for number in range(22)], rate=10)
    assert SEEK_FROM_SECONDS > 2.2
    if seeks:
        monkeypatch.setattr("pipeline.doctor.examine.SEEK_FROM_SECONDS", 0.0)
    numbers: list[int] = []

    def look(_: object, image: np.ndarray, *__: object) -> None:
        numbers.append(number_of(image))

    monkeypatch.setattr("pipeline.doctor.faces.FaceCounter.look", look)
    assert examine(clip, sample=11).sampled_frames == 11
    assert numbers == list(range(0, 22, 2))


def test_a_clip_shorter_than_the_sample_is_looked_at_frame_by_frame(tmp_path: Path) -> None:
    clip = video(tmp_path, [ROOM] * 7)
    assert examine(clip, ladder="papers", upsample=0).sampled_frames == 7


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("faces.secnd=none", "unknown setting faces.secnd; did you mean faces.second?"),
        ("network.layer=fc", "unknown setting network. Known here: sample, faces"),
        ("faces.ladder=paper", "faces.ladder must be one of full, papers, got 'paper'"),
    ],
)
def test_a_setting_that_changes_nothing_here_is_refused(
    tmp_path: Path, setting: str, said: str
) -> None:
    (tmp_path / "m.csv").write_text("clip,path\na,a.mp4\n")
    result = CliRunner().invoke(main, ["doctor", str(tmp_path / "m.csv"), "--set", setting])
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


@pytest.mark.slow
def test_clips_in_which_extract_finds_few_faces_are_named_and_no_others(tmp_path: Path) -> None:
    """The face arrives after so many of 24 frames; from 13 on extract has it in fewer than half."""
    named, few = set(), set()
    for empty in (0, 7, 17, 24):
        clip = video(tmp_path, [ROOM] * empty + [FACE] * (24 - empty))
        if findings(examine(clip)).keys() & {"no face", "few faces"}:
            named.add(empty)
        found = find_faces([read_all(VideoReader(clip.path))])
        if (found.rung != BoxSource.WHOLE).mean() < 0.5:
            few.add(empty)
    assert named == few == {17, 24}
