"""What a contact sheet shows of each clip, and of which clips."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.manifest.clip import Clip
from cache.sets.feature_set import FeatureSet
from pipeline.extract.clip import extract_clip
from pipeline.extract.plan import plan_sets
from pipeline.extract.settings import StageOneSettings
from tests.pipeline.known_faces import SPEC, see, write_clip, write_table
from tests.pipeline.sheets import STEADY, TWO, fail, inspect, pictures, pictures_of, show
from tests.pipeline.videos import write_video, write_wav


def test_a_clip_is_a_row_with_its_state_coverage_tracks_and_picture(tmp_path: Path) -> None:
    seen = [row for row in TWO if row.frame != 3]
    clip = write_clip(tmp_path / "cache", tmp_path / "two.mp4", seen, missing=["no audio stream"])
    text = show([clip], tmp_path)
    assert "two <span" in text
    assert '"state partial"' in text
    assert "face in 6 of 7 frames (85.7%); seen in 6 (detect 6), followed in none" in text
    assert "longest gap 0.04 s; 2 tracks; 94x62, 0.24 s" in text
    assert "no audio stream" in text
    (picture,) = pictures(tmp_path / "sheet.html")
    assert picture.shape[1] == 3 * 80 + 2 * 6


def test_text_from_the_corpus_is_escaped_and_unicode_stays(tmp_path: Path, steady: Clip) -> None:
    label = "<script>alert('x')</script> 高兴"
    path = tmp_path / "gone.mp4"
    path.write_bytes(b"x")
    gone = Clip("gone", path, label)
    fail(gone, tmp_path / "cache", 'bad <b>"name"</b> \udce9.mp4')
    text = show([replace(steady, label=label), gone], tmp_path)
    assert "<script>" not in text
    assert "<b>" not in text
    assert text.count("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; 高兴") == 2
    assert "\\udce9" in text


def test_a_failed_clip_is_named_with_its_reason(tmp_path: Path, steady: Clip) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no video")
    fail(Clip("broken", path), tmp_path / "cache", "broken.mp4 is not a video")
    text = show([steady, Clip("broken", path)], tmp_path)
    assert '<h2 id="broken">broken <span class="state failed">failed</span>' in text
    assert "open: broken.mp4 is not a video" in text


def test_a_clip_without_frames_has_a_row_without_a_picture(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "sound.wav", np.zeros((1, 999)), 16_000)
    clip = write_clip(tmp_path / "cache", path, [], num=0, size=(0, 0), missing=["no video stream"])
    text = show([clip], tmp_path)
    assert "no frames" in text
    assert "no video stream" in text
    assert "<img" not in text


def test_a_video_that_is_gone_leaves_its_faces_without_a_picture(
    tmp_path: Path, steady: Clip
) -> None:
    seen = pictures_of(steady, tmp_path)
    steady.path.unlink()
    text = show([steady], tmp_path, ok=False)
    assert "face in 7 of 7 frames" in text
    assert "no picture: " in text
    assert "steady.mp4 does not exist" in text
    (blank,) = pictures(tmp_path / "sheet.html")
    assert blank.shape[1] == seen.shape[1]
    assert np.abs(blank[20:30, 30:50].astype(int) - 225).max() < 40


def test_a_video_that_changed_is_stale_and_not_drawn_with_its_old_faces(
    tmp_path: Path, steady: Clip
) -> None:
    with steady.path.open("ab") as file:
        file.write(b"more")
    text = show([steady], tmp_path, ok=False)
    assert '"state stale"' in text
    assert "has changed; extract it again" in text
    assert "<img" not in text


def test_a_damaged_entry_is_stale_and_says_so(tmp_path: Path, steady: Clip) -> None:
    path = FeatureSet(tmp_path / "cache", SPEC).entry_path("steady")
    path.write_bytes(path.read_bytes()[:700])
    assert "the entry is damaged" in show([steady], tmp_path, "--only", "stale", ok=False)


def test_a_clip_that_was_never_extracted_is_missing(tmp_path: Path, steady: Clip) -> None:
    path = tmp_path / "new.mp4"
    shutil.copyfile(steady.path, path)
    text = show([steady, Clip("new", path)], tmp_path, ok=False)
    assert "no entry yet; extract it" in text


@pytest.mark.slow
def test_frames_of_thirteen_megapixels_are_drawn_small(tmp_path: Path) -> None:
    size = (3120, 4208)
    seen = [see(frame, 0, (1001, 1003, 2003, 2005)) for frame in range(2)]
    clip = write_clip(tmp_path / "cache", tmp_path / "huge.mp4", seen, num=2, size=size)
    assert pictures_of(clip, tmp_path).shape[1] == 2 * 80 + 6


def test_only_clips_of_the_kinds_asked_for_are_shown(tmp_path: Path, steady: Clip) -> None:
    cache = tmp_path / "cache"
    faceless = write_clip(
        cache, tmp_path / "faceless.mp4", [], missing=["7 of 7 frames without a face"]
    )
    lost = write_clip(cache, tmp_path / "lost.mp4", STEADY[:5], missing=["2 of 7 frames without"])
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no video")
    broken = Clip("broken", path)
    fail(broken, cache, "not a video")
    clips = [steady, faceless, lost, broken]
    for kinds, expected in {
        ("no-face",): ["faceless"],
        ("partial",): ["faceless", "lost"],
        ("failed",): ["broken"],
        ("failed", "no-face"): ["faceless", "broken"],
        ("ok",): ["steady"],
        ("stale",): [],
    }.items():
        text = show(clips, tmp_path, *(word for kind in kinds for word in ("--only", kind)))
        assert re.findall(r'<h2 id="([^"]+)"', text) == expected
    assert "No clip is of the kind that was asked for." in text
    assert inspect(write_table(tmp_path, clips), cache, tmp_path / "sheet.png", "--only", "stale")


def test_clips_are_picked_by_their_ids_and_a_wrong_one_is_answered_with_the_nearest(
    tmp_path: Path, steady: Clip
) -> None:
    path = tmp_path / "other.mp4"
    shutil.copyfile(steady.path, path)
    clips = [steady, write_clip(tmp_path / "cache", path, TWO)]
    assert re.findall(r'<h2 id="([^"]+)"', show(clips, tmp_path, "--clip", "other")) == ["other"]
    manifest = write_table(tmp_path, clips)
    result = inspect(manifest, tmp_path / "cache", tmp_path / "s.png", "--clip", "stedy")
    assert result.exit_code == 2
    assert "no clip 'stedy'" in result.stderr
    assert "did you mean steady?" in result.stderr


def test_faces_that_stage_one_found_are_shown(tmp_path: Path) -> None:
    scenes = pytest.importorskip("tests.pipeline.scenes")
    scene = scenes.place(scenes.background(202, 302), (151, 101), 83)
    write_video(tmp_path / "one.mkv", [scene] * 5)
    write_wav(tmp_path / "sound.wav", np.zeros((1, 9_999)), 16_000)
    (tmp_path / "broken.mp4").write_bytes(b"\0\1" * 999)
    clips = [Clip(name.split(".")[0], tmp_path / name) for name in ("one.mkv", "sound.wav")]
    clips.append(Clip("broken", tmp_path / "broken.mp4"))
    plan = plan_sets(["faces"], StageOneSettings(), {}, cache=tmp_path / "cache", device="cpu")
    for planned in plan.sets:
        FeatureSet(plan.cache, planned.spec).create({})
    for clip in clips:
        extract_clip(clip, plan)
    text = show(clips, tmp_path)
    assert "face in 5 of 5 frames (100.0%)" in text
    assert "no video stream" in text
    assert "not a video or sound file" in text
    (picture,) = pictures(tmp_path / "sheet.html")
    x, y = 151 * 80 // 302, 18 + 101 * 80 // 302  # the nose, where the crop below has it too
    assert picture[y, x].std() < picture[..., 0].std()
