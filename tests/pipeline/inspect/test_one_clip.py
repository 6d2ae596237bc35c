"""One clip over its time: tracks, sound, how alike its frames are, and all of its frames."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

import pipeline
from cache.entries.source import read_source
from cache.manifest.clip import Clip
from cache.sets.feature_set import FeatureSet, SetSpec
from pipeline.cli import main
from pipeline.faces.tracks import BoxSource
from pipeline.inspect.cells import read_faces
from pipeline.inspect.overview import MOST_STEPS, draw_overview, read_similarity
from pipeline.inspect.request import SheetError
from pipeline.inspect.shown import find_shown
from pipeline.inspect.sprite import MOST_FRAMES, choose_frames
from tests.pipeline.inspect.test_thumbnails import hear
from tests.pipeline.known_faces import SPEC, see, write_clip, write_table
from tests.pipeline.sheets import LARGE, SMALL, STEADY, TWO


def embed(clip: Clip, cache: Path, rows: np.ndarray) -> FeatureSet:
    """Write a network's entry of a clip, beside an array that is no embedding of a frame."""
    spec = SetSpec("resnet18", {}, 1, upstream={"faces": SPEC.key})
    feature_set = FeatureSet(cache, spec).create({})
    entry = FeatureSet(cache, SPEC).read(clip.id, ())
    with feature_set.writer(
        clip.id, source=read_source(clip.path), provenance={}, upstream={"faces": entry.identity}
    ) as writer:
        times = np.arange(len(rows)) / 25
        writer.append(times=times, basic=rows.astype(np.float32), rung=np.ones(len(rows), np.uint8))
        writer.finish()
    return feature_set


def look(clip: Clip, folder: Path, name: str, *options: str) -> Result:
    manifest, cache = write_table(folder, [clip]), folder / "cache"
    command = ["inspect", "clip", str(manifest), clip.id, *options, "--cache", str(cache)]
    return CliRunner().invoke(main, [*command, "-o", str(folder / name)])


def test_frames_that_point_one_way_are_alike(tmp_path: Path, steady: Clip) -> None:
    rows = np.array([(1, 0), (2, 0), (0, 3), (0, 3), (1, 1), (5, 0), (0, 1)])
    similarity = read_similarity(embed(steady, tmp_path / "cache", rows), "steady")
    assert similarity is not None
    np.testing.assert_allclose(similarity.values[0], [1, 1, 0, 0, 0.5**0.5, 1, 0], atol=1e-12)
    np.testing.assert_allclose(similarity.values, similarity.values.T)
    np.testing.assert_allclose(similarity.edges, np.arange(8) / 25)


def test_steps_of_a_long_clip_are_averaged(tmp_path: Path, steady: Clip) -> None:
    rows = np.repeat(np.eye(2), 2 * MOST_STEPS, axis=0)  # the second half at right angles
    similarity = read_similarity(embed(steady, tmp_path / "cache", rows), "steady")
    assert similarity is not None
    assert similarity.values.shape == (MOST_STEPS, MOST_STEPS)
    assert similarity.values[0, MOST_STEPS // 2 - 1] == pytest.approx(1)
    assert similarity.values[0, MOST_STEPS // 2] == pytest.approx(0)
    assert similarity.edges[-1] == pytest.approx(4 * MOST_STEPS / 25)


@pytest.mark.parametrize(
    ("num", "expected"),
    [(3, [0, 1, 2]), (MOST_FRAMES, list(range(MOST_FRAMES))), (3 * MOST_FRAMES, None)],
)
def test_all_frames_are_shown_or_every_third(num: int, expected: list[int] | None) -> None:
    assert choose_frames(num) == (expected or list(range(0, num, 3)))


def test_a_page_holds_the_clips_time_and_every_frame(tmp_path: Path) -> None:
    seen = [*STEADY[:4], *(see(f, 0, LARGE, BoxSource.FOLLOW) for f in (4, 5))]  # 6 has none
    clip = write_clip(tmp_path / "cache", tmp_path / "v.mp4", seen, label="<b>happy</b>")
    embed(clip, tmp_path / "cache", np.eye(7))
    hear(clip, tmp_path / "cache", np.arange(28.0).reshape(14, 2), hop=0.02)
    result = look(clip, tmp_path, "page.html")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "page.html").read_text()
    assert "<b>" not in page
    assert "Content-Security-Policy" in page
    assert "http" not in re.sub(r"base64,[^\"]+|http-equiv", "", page)
    assert re.findall(r'aria-label="([^"]+)"', page) == [
        *(f"{frame / 25:.2f} s: detect, track 0" for frame in range(4)),
        *(f"{frame / 25:.2f} s: follow, track 0" for frame in (4, 5)),
        "0.24 s: no face",
    ]
    assert page.count('class="crop followed"') == 2
    assert page.count("data:image/png") == 1
    picture = look(clip, tmp_path, "a.png", "resnet18")
    assert picture.exit_code == 0, picture.output
    assert cv2.imread(str(tmp_path / "a.png")).shape[0] > 700  # with sound and similarity


def test_what_is_not_there_is_said_and_the_rest_is_shown(tmp_path: Path, steady: Clip) -> None:
    other = write_clip(tmp_path / "cache", tmp_path / "other.mp4", TWO)
    embed(other, tmp_path / "cache", np.eye(7))
    steady.path.unlink()
    result = look(steady, tmp_path, "page.html")
    assert result.exit_code == 1
    assert "not shown: it has no entry in resnet18-" in result.stderr
    assert "no picture: " in result.stderr
    page = (tmp_path / "page.html").read_text()
    assert "face in 7 of 7 frames" in page
    assert 'class="crop' not in page


def test_a_clip_or_a_name_that_cannot_be_drawn_is_refused(tmp_path: Path, steady: Clip) -> None:
    new = Clip("new", steady.path)
    result = look(new, tmp_path, "page.html")
    assert (result.exit_code, "clip new is missing: no entry yet" in result.stderr) == (2, True)
    result = look(steady, tmp_path, "page.jpg")
    assert (result.exit_code, "ends in .html, .png, .pdf or .svg" in result.stderr) == (2, True)
    result = look(steady, tmp_path, "page.png", "ir50")
    assert (result.exit_code, "has no feature set ir50" in result.stderr) == (2, True)
    manifest = write_table(tmp_path, [steady])
    with pytest.raises(SheetError, match=r"no clip 'stead' .*; did you mean steady"):
        pipeline.draw_clip(manifest, "stead", cache=tmp_path / "cache", out=tmp_path / "p.png")


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_the_same_clip_makes_the_same_bytes(tmp_path: Path, kind: str) -> None:
    seen = [see(f, 0, LARGE) for f in range(5)] + [see(f, 1, SMALL) for f in range(2, 7)]
    clip = write_clip(tmp_path / "cache", tmp_path / "v.mp4", seen)
    faces = read_faces(clip, find_shown(tmp_path / "cache"))
    one, other = (draw_overview(faces, None, None, kind).picture for _ in range(2))
    assert one == other


def test_a_clip_without_frames_or_faces_has_an_overview(tmp_path: Path) -> None:
    for num in (0, 3):
        clip = write_clip(tmp_path / "cache", tmp_path / f"v{num}.mp4", [], num=3)
        faces = read_faces(clip, find_shown(tmp_path / "cache"))
        assert draw_overview(faces, None, None).picture.startswith(b"\x89PNG")
