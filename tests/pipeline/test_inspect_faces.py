from __future__ import annotations

import json
import os
import re
import shutil
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from cache.clip import Clip
from cache.failure import Failure
from cache.feature_set import FeatureSet, SetSpec
from cache.source import read_source
from pipeline.cli import main
from pipeline.commands.inspect import faces as faces_command
from pipeline.extract import extract_clip
from pipeline.inspecting.rows import SheetSettings
from pipeline.rungs import Rung
from pipeline.sets import plan_sets
from pipeline.settings import StageOneSettings
from pipeline.tracks import Box
from tests.pipeline.known_faces import SPEC, see, write_clip, write_table
from tests.pipeline.test_extract import no_rights
from tests.pipeline.videos import write_video, write_wav

SMALL: Box = (5, 5, 26, 26)
LARGE: Box = (40, 10, 81, 51)
STEADY = [see(frame, 0, LARGE) for frame in range(7)]
TWO = [*STEADY, *(see(frame, 1, SMALL, Rung.FOLLOW) for frame in range(7))]


def inspect(manifest: Path, cache: Path, output: Path, *options: str) -> Result:
    command = ["inspect", "faces", str(manifest), "--cache", str(cache), "-o", str(output)]
    return CliRunner().invoke(main, [*command, "--size", "80", "--columns", "3", *options])


def show(clips: Sequence[Clip], folder: Path, *options: str, ok: bool = True) -> str:
    """Return the text of a page; pictures are left out."""
    path = folder / "sheet.html"
    result = inspect(write_table(folder, clips), folder / "cache", path, *options)
    assert result.exit_code == (0 if ok else 1), result.output
    return re.sub(r"base64,[^\"]+", "", path.read_text(encoding="utf-8"))


def pictures(page: Path) -> list[np.ndarray]:
    found = re.findall(r"image/jpeg;base64,([^\"]+)", page.read_text(encoding="utf-8"))
    return [cv2.imdecode(np.frombuffer(b64decode(text), np.uint8), 1) for text in found]


@pytest.fixture
def steady(tmp_path: Path) -> Clip:
    return write_clip(tmp_path / "cache", tmp_path / "steady.mp4", STEADY, label="happy")


def fail(clip: Clip, cache: Path, reason: str) -> None:
    FeatureSet(cache, SPEC).create({}).record_failure(
        Failure(clip.clip, "open", reason, read_source(clip.path))
    )


def test_a_clip_is_a_row_with_its_state_coverage_tracks_and_picture(tmp_path: Path) -> None:
    seen = [row for row in TWO if row.frame != 3]
    clip = write_clip(tmp_path / "cache", tmp_path / "two.mp4", seen, missing=["no audio stream"])
    text = show([clip], tmp_path)
    assert "two <span" in text
    assert '"state partial"' in text
    assert "face in 6 of 7 frames (85.7%); detect 6, whole 1" in text
    assert "longest gap 0.04 s; 2 tracks; 94x62, 0.24 s" in text
    assert "no audio stream" in text
    (picture,) = pictures(tmp_path / "sheet.html")
    assert picture.shape[1] == 3 * 80 + 2 * 6


def test_a_folder_holds_pages_of_some_clips_each_and_an_index_of_all(
    tmp_path: Path, steady: Clip
) -> None:
    clips = [steady]
    for number in range(4):
        path = tmp_path / f"clip{number}.mp4"
        clips.append(write_clip(tmp_path / "cache", path, TWO))
    folder = tmp_path / "new" / "sheets"
    manifest = write_table(tmp_path, clips)
    result = inspect(manifest, tmp_path / "cache", folder, "--per-page", "2")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in folder.iterdir()) == [
        "index.html",
        "page-001.html",
        "page-002.html",
        "page-003.html",
    ]
    index = (folder / "index.html").read_text()
    assert index.count("<tr>") == 1 + 5
    assert 'href="page-002.html#clip1"' in index
    assert "face in 7 of 7 frames (100.0%)" in index
    second = (folder / "page-002.html").read_text()
    assert '<h2 id="clip1">' in second
    assert 'href="page-001.html"' in second
    assert 'href="page-003.html"' in second
    assert "steady" not in second


def test_pages_of_an_earlier_sheet_go_and_other_files_stay(tmp_path: Path, steady: Clip) -> None:
    path = tmp_path / "other.mp4"
    shutil.copyfile(steady.path, path)
    clips = [steady, write_clip(tmp_path / "cache", path, TWO)]
    folder, manifest = tmp_path / "sheets", write_table(tmp_path, clips)
    assert inspect(manifest, tmp_path / "cache", folder, "--per-page", "1").exit_code == 0
    (folder / "page-mine.html").write_text("mine")
    assert (folder / "page-002.html").exists()
    assert inspect(manifest, tmp_path / "cache", folder).exit_code == 0
    assert not (folder / "page-002.html").exists()
    assert (folder / "page-mine.html").read_text() == "mine"


@pytest.mark.parametrize("name", ["sheet.png", "sheet.html", "sheets"])
def test_the_same_entries_and_videos_make_the_same_bytes(
    tmp_path: Path, steady: Clip, name: str
) -> None:
    manifest = write_table(tmp_path, [steady])
    made = []
    for place in ("a", "b"):
        output = tmp_path / place / name
        output.parent.mkdir()
        assert inspect(manifest, tmp_path / "cache", output).exit_code == 0
        paths = sorted(output.iterdir()) if output.is_dir() else [output]
        made.append([path.read_bytes() for path in paths])
    assert made[0] == made[1]


def test_a_picture_holds_every_clip_below_the_other(tmp_path: Path, steady: Clip) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no video")
    broken = Clip("broken", path, "сад高兴")
    fail(broken, tmp_path / "cache", "broken.mp4 is not a video")
    heights = []
    for clips in ([steady], [steady, broken]):
        output = tmp_path / "sheet.png"
        result = inspect(write_table(tmp_path, clips), tmp_path / "cache", output)
        assert result.exit_code == 0, result.output
        heights.append(cv2.imread(str(output)).shape[0])
    assert heights[1] > heights[0] + 30


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


def pictures_of(clip: Clip, folder: Path) -> np.ndarray:
    show([clip], folder)
    (picture,) = pictures(folder / "sheet.html")
    return picture


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


def test_more_clips_than_a_page_are_not_put_into_one_file(tmp_path: Path, steady: Clip) -> None:
    path = tmp_path / "other.mp4"
    shutil.copyfile(steady.path, path)
    manifest = write_table(tmp_path, [steady, write_clip(tmp_path / "cache", path, TWO)])
    for name in ("sheet.png", "sheet.html"):
        result = inspect(manifest, tmp_path / "cache", tmp_path / name, "--per-page", "1")
        assert result.exit_code == 2
        assert "2 clips are more than one page of 1" in result.stderr
        assert "name a folder" in result.stderr
        assert not (tmp_path / name).exists()


def test_another_kind_of_picture_is_refused(tmp_path: Path, steady: Clip) -> None:
    manifest = write_table(tmp_path, [steady])
    result = inspect(manifest, tmp_path / "cache", tmp_path / "sheet.jpg")
    assert result.exit_code == 2
    assert "ends in .png or .html" in result.stderr


def test_a_policy_and_overrides_can_be_tried_without_extracting(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "cache", tmp_path / "two.mp4", TWO)
    assert "detect 7;" in show([clip], tmp_path)  # the larger one
    table = tmp_path / "by_hand.csv"
    table.write_text("clip,start_seconds,end_seconds,track,box\ntwo,,0.1,1,\n")
    assert "detect 4, follow 3;" in show([clip], tmp_path, "--overrides", str(table))
    table.write_text("clip,start_seconds,end_seconds,track,box\ntwo,,,,3 5 44 47\n")
    assert "given 7;" in show([clip], tmp_path, "--overrides", str(table))
    table.write_text("clip,start_seconds,end_seconds,track,box\ntwo,,,5,\n")
    text = show([clip], tmp_path, "--overrides", str(table), ok=False)
    assert "an override names track 5, and this clip has the tracks 0, 1" in text
    table.write_text("clip,start_seconds,end_seconds,track,box\nnobody,,,1,\n")
    manifest = write_table(tmp_path, [clip])
    result = inspect(manifest, tmp_path / "cache", tmp_path / "s.png", "--overrides", str(table))
    assert result.exit_code == 2
    assert "no clip 'nobody'" in result.stderr
    late = [see(frame, 1, LARGE) for frame in range(5, 7)]
    early = [see(frame, 0, SMALL, Rung.HOLD) for frame in range(7)]
    clip = write_clip(tmp_path / "cache", tmp_path / "late.mp4", [*early, *late])
    assert "hold 5, detect 2;" in show([clip], tmp_path)
    assert "hold 7;" in show([clip], tmp_path, "--policy", "first")


def network(faces_key: str) -> SetSpec:
    settings = {"crops": {"size": 64, "align": "box"}, "policy": "first"}
    return SetSpec("resnet18", settings, 1, upstream={"faces": faces_key}, untrained=True)


def test_a_networks_set_shows_the_faces_that_it_was_given(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    late = [see(frame, 1, LARGE) for frame in range(5, 7)]
    early = [see(frame, 0, SMALL, Rung.HOLD) for frame in range(7)]
    clip = write_clip(cache, tmp_path / "late.mp4", [*early, *late])
    features = FeatureSet(cache, network(SPEC.key)).create({})
    by_hand: list[dict[str, Any]] = [
        {"start_seconds": None, "end_seconds": 0.1, "track": None, "box": [1, 2, 44, 47]}
    ]
    with features.writer("late", source=read_source(clip.path), provenance={}) as writer:
        writer.append(times=np.arange(7) / 25)
        writer.finish(attributes={"by_hand": by_hand})
    assert "given 3, hold 4;" in show([clip], tmp_path, "--set", "resnet18").replace(
        "hold 4, given 3", "given 3, hold 4"
    )


def test_sets_that_cannot_be_shown_are_refused_with_what_to_do(
    tmp_path: Path, steady: Clip
) -> None:
    cache, manifest = tmp_path / "cache", write_table(tmp_path, [steady])
    FeatureSet(cache, SetSpec("spectrogram", {}, 1)).create({})
    FeatureSet(cache, network("0" * 64)).create({})
    for name, answer in {
        "spectrogram": "is not made from faces",
        "resnet18": "is made from faces-0000000000000000, which the cache no longer has; run",
        "ir50": "has no feature set ir50",
    }.items():
        result = inspect(manifest, cache, tmp_path / "s.png", "--set", name)
        assert result.exit_code == 2
        assert answer in result.stderr
    FeatureSet(cache, replace(SPEC, settings={"other": 1})).create({})
    result = inspect(manifest, cache, tmp_path / "s.png")
    assert "has 2 sets faces" in result.stderr
    result = inspect(manifest, cache, tmp_path / "s.png", "--set", SPEC.folder)
    assert result.exit_code == 0, result.output


def test_faces_of_another_version_are_stale_and_refused(tmp_path: Path) -> None:
    old = replace(SPEC, version=SPEC.version - 1)
    clip = write_clip(tmp_path / "cache", tmp_path / "a.mp4", STEADY, spec=old)
    manifest = write_table(tmp_path, [clip])
    result = inspect(manifest, tmp_path / "cache", tmp_path / "s.png")
    assert result.exit_code == 2
    assert "is stale: its faces were found by version" in result.stderr
    assert "avfuse extract" in result.stderr
    write_clip(tmp_path / "cache", tmp_path / "a.mp4", STEADY)  # beside it, the current one
    assert inspect(manifest, tmp_path / "cache", tmp_path / "s.png").exit_code == 0


def test_a_cache_without_faces_is_refused_with_what_to_do(tmp_path: Path, steady: Clip) -> None:
    manifest = write_table(tmp_path, [steady])
    FeatureSet(tmp_path / "sounds", SetSpec("logmel", {}, 1)).create({})
    result = inspect(manifest, tmp_path / "sounds", tmp_path / "s.png")
    assert result.exit_code == 2
    assert "has no faces; it has logmel-" in result.stderr
    assert "--sets faces' first" in result.stderr
    result = inspect(manifest, tmp_path / "nowhere", tmp_path / "s.png")
    assert result.exit_code == 2
    assert "nowhere does not exist" in result.stderr


def test_a_manifest_of_other_clips_is_refused_with_what_to_do(tmp_path: Path, steady: Clip) -> None:
    manifest = write_table(tmp_path, [Clip("other", steady.path)])
    result = inspect(manifest, tmp_path / "cache", tmp_path / "s.png")
    assert result.exit_code == 2
    assert "none of the 1 clips has an entry" in result.stderr
    assert "avfuse extract" in result.stderr


def test_an_output_that_cannot_be_written_is_named(tmp_path: Path, steady: Clip) -> None:
    manifest, folder = write_table(tmp_path, [steady]), Path("/tmp") / f"avfuse-{os.getpid()}"  # noqa: S108  # pytest's own is closed to others
    folder.mkdir()
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)
    try:
        with no_rights(folder):
            for name in ("sheet.png", "sheet.html", "sheets"):
                result = inspect(manifest, tmp_path / "cache", folder / name)
                assert result.exit_code == 1, result.output
                assert f"{folder / name} can't be written: " in result.stderr
                assert "Permission denied" in result.stderr
        assert not list(folder.iterdir())
    finally:
        shutil.rmtree(folder)
    (tmp_path / "file").write_text("")
    result = inspect(manifest, tmp_path / "cache", tmp_path / "file" / "sheets")
    assert result.exit_code == 1
    assert "can't be written" in result.stderr


def test_what_was_made_is_told_as_json(tmp_path: Path, steady: Clip) -> None:
    manifest = write_table(tmp_path, [steady])
    result = inspect(manifest, tmp_path / "cache", tmp_path / "s.png", "--json")
    assert json.loads(result.stdout) == {
        "files": [str(tmp_path / "s.png")],
        "clips": 1,
        "states": {"ok": 1},
        "unseen": {},
    }


@pytest.mark.parametrize(
    ("values", "answer"),
    [
        ({"columns": 1}, "columns must be 2 to 64, got 1"),
        ({"size": 79}, "size must be 80 to 1920, got 79"),
        ({"per_page": 501}, "per_page must be 1 to 500, got 501"),
        ({"columns": 64, "size": 640}, "64 columns of 640 pixels are wider than 16384"),
    ],
)
def test_a_sheet_out_of_bounds_is_refused(values: dict[str, int], answer: str) -> None:
    with pytest.raises(ValueError, match=answer):
        SheetSettings(**values)


def test_every_option_is_described() -> None:
    assert all(option.help for option in faces_command.params if isinstance(option, click.Option))


def test_faces_that_stage_one_found_are_shown(tmp_path: Path) -> None:
    scenes = pytest.importorskip("tests.pipeline.scenes")
    scene = scenes.place(scenes.background(202, 302), (151, 101), 83)
    write_video(tmp_path / "one.mkv", [scene] * 5)
    write_wav(tmp_path / "sound.wav", np.zeros((1, 9_999)), 16_000)
    (tmp_path / "broken.mp4").write_bytes(b"\0\1" * 999)
    clips = [Clip(name.split(".")[0], tmp_path / name) for name in ("one.mkv", "sound.wav")]
    clips.append(Clip("broken", tmp_path / "broken.mp4"))
    plan = plan_sets(["faces"], StageOneSettings(), {}, cache=tmp_path / "cache", device="cpu")
    FeatureSet(plan.cache, plan.sets[0].spec).create({})
    for clip in clips:
        extract_clip(clip, plan)
    text = show(clips, tmp_path)
    assert "face in 5 of 5 frames (100.0%)" in text
    assert "no video stream" in text
    assert "not a video or sound file" in text
    (picture,) = pictures(tmp_path / "sheet.html")
    x, y = 151 * 80 // 302, 18 + 101 * 80 // 302  # the nose, where the crop below has it too
    assert picture[y, x].std() < picture[..., 0].std()
