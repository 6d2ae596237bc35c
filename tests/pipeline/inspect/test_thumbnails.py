"""Strips of frames and crops, and spectrograms, for the pages of runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from cache.entries.source import read_source
from cache.manifest.clip import Clip
from cache.sets.feature_set import FeatureSet, SetSpec
from pipeline.inspect.sound import BLOCK, read_spectrogram
from pipeline.inspect.thumbnails import ClipPictures, ThumbnailSettings, draw_thumbnails, spread
from tests.pipeline.known_faces import see, write_clip
from tests.pipeline.sheets import LARGE, fail
from tests.pipeline.videos import number_of

SETTINGS = ThumbnailSettings(frames=3, size=32, quality=95)


def draw(
    clip: Clip, cache: Path, settings: ThumbnailSettings = SETTINGS
) -> tuple[ClipPictures, np.ndarray | None]:
    made = draw_thumbnails([clip], cache, settings=settings)[clip.id]
    return made, cv2.imdecode(np.frombuffer(made.strip, np.uint8), 1) if made.strip else None


def hear(clip: Clip, cache: Path, energies: np.ndarray, hop: float = 0.01) -> FeatureSet:
    """Write a log-mel entry of a clip, whose deltas are noise."""
    feature_set = FeatureSet(cache, SetSpec("logmel", {}, 1)).create({})
    noise = np.random.default_rng(3).normal(size=(*energies.shape, 2))
    values = np.concatenate([energies[..., None], noise], axis=-1).astype(np.float32)
    with feature_set.writer(clip.id, source=read_source(clip.path), provenance={}) as writer:
        writer.append(times=(np.arange(len(energies)) + 0.5) * hop, logmel=values)
        writer.finish()
    return feature_set


@pytest.mark.parametrize(
    ("num", "count", "expected"),
    [(0, 3, []), (1, 3, [0]), (2, 5, [0, 1]), (13, 3, [2, 6, 10]), (101, 4, [12, 37, 62, 87])],
)
def test_frames_are_those_nearest_to_the_middles_of_equal_parts(
    num: int, count: int, expected: list[int]
) -> None:
    assert spread(np.arange(num) / 25, count) == expected


def test_frames_are_even_over_time_where_the_rate_varies() -> None:
    times = np.concatenate([np.arange(50) / 50, 1 + np.arange(5) * 0.75])  # 0 to 4 s
    # Middles 0.5, 1.5, 2.5 and 3.5: of two that are as near the earlier is taken.
    assert spread(times, 4) == [25, 51, 52, 53]


def test_a_strip_holds_the_crops_of_the_frames_in_order(tmp_path: Path, steady: Clip) -> None:
    made, strip = draw(steady, tmp_path / "cache")
    assert strip is not None
    assert strip.shape == (32, 3 * 32, 3)
    assert made.times == (0.04, 0.12, 0.2)
    assert [number_of(strip[:, start : start + 32]) for start in (0, 32, 64)] == [1, 3, 5]
    assert made.why == ""
    assert made.spectrogram is None


def test_a_boxed_strip_shows_whole_frames_with_their_boxes_above_the_crops(
    tmp_path: Path, steady: Clip
) -> None:
    settings = replace(SETTINGS, size=94, boxed=True)  # as wide as the video's frames
    _, strip = draw(steady, tmp_path / "cache", settings)
    assert strip is not None
    assert strip.shape == (62 + 94, 3 * 94, 3)
    left, top, right, bottom = (round(side) for side in LARGE)
    inside, edge = strip[bottom - 8, left + 10], strip[(top + bottom) // 2, right]
    assert np.ptp(inside.astype(int)) <= 12  # a grey frame
    assert np.ptp(edge.astype(int)) > 60  # a coloured box


def test_a_clip_that_cannot_be_shown_says_why(tmp_path: Path, steady: Clip) -> None:
    cache = tmp_path / "cache"
    assert "no entry yet" in draw(replace(steady, id="new"), cache)[0].why
    broken = Clip("broken", tmp_path / "broken.mp4")
    broken.path.write_bytes(b"no video")
    fail(broken, cache, "broken.mp4 is not a video")
    assert "broken.mp4 is not a video" in draw(broken, cache)[0].why
    other = write_clip(cache, tmp_path / "other.mp4", [see(0, 0, LARGE)])
    with other.path.open("ab") as file:
        file.write(b"more")
    assert "has changed" in draw(other, cache)[0].why
    steady.path.unlink()
    made, strip = draw(steady, cache)
    assert strip is None
    assert "steady.mp4 does not exist" in made.why


def test_a_cache_that_is_gone_or_has_no_faces_is_said(tmp_path: Path, steady: Clip) -> None:
    assert "no pictures" in draw(steady, tmp_path / "gone")[0].why
    hear(steady, tmp_path / "sound", np.zeros((5, 3)))
    assert "has no faces" in draw(steady, tmp_path / "sound")[0].why


def test_loud_is_dark_and_high_is_on_top(tmp_path: Path, steady: Clip) -> None:
    energies = np.zeros((20, 5))
    energies[10:, 4] = 9.0  # loud, high, in the second half
    feature_set = hear(steady, tmp_path / "cache", energies)
    spectrogram = read_spectrogram(feature_set, "steady", 4)
    assert spectrogram is not None
    assert spectrogram.energies.T[4].tolist() == [0, 0, 9, 9]
    assert spectrogram.span == pytest.approx((0.0, 0.2))
    grey = spectrogram.to_grey()
    assert grey.shape == (5, 4)
    assert grey[0].tolist() == [255, 255, 0, 0]
    assert grey[1:].min() == 255
    made, _ = draw(steady, tmp_path / "cache")
    assert made.spectrogram is not None
    assert made.spectrogram_span == (0.0, 0.2)


def test_energies_are_averaged_over_more_steps_than_one_block(tmp_path: Path, steady: Clip) -> None:
    energies = np.repeat(np.arange(3.0), BLOCK)[:, None] + np.zeros((1, 2))
    feature_set = hear(steady, tmp_path / "cache", energies)
    spectrogram = read_spectrogram(feature_set, "steady", 3)
    assert spectrogram is not None
    assert spectrogram.energies.tolist() == [[0, 0], [1, 1], [2, 2]]


def test_the_same_cache_and_video_give_the_same_bytes(tmp_path: Path, steady: Clip) -> None:
    assert draw(steady, tmp_path / "cache")[0] == draw(steady, tmp_path / "cache")[0]


@pytest.mark.parametrize(
    ("name", "value"), [("frames", 0), ("size", 641), ("columns", -1), ("quality", 101)]
)
def test_a_size_out_of_range_is_refused(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name} must be .*, got {value}"):
        replace(SETTINGS, **{name: value})  # type: ignore[arg-type]
