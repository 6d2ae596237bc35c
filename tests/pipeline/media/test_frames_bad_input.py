"""Video that is damaged, cut off, too large or no video, and real files that are odd."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from av.error import InvalidDataError

from cache.manifest.span import Span
from pipeline.media.frames import DecodeSettings, MediaError, NoVideoError, VideoReader
from tests.pipeline.videos import (
    HEIGHT,
    WIDTH,
    grey_frame,
    numbers_of,
    read_all,
    write_video,
    write_wav,
)


# x264 does not write the same bytes every time, and damage in one place goes unseen now and then;
# in eight places it does not.
@pytest.mark.parametrize(("garbage", "places"), [(300, 8), (9000, 1)])
def test_damage_in_the_middle_costs_a_part_and_is_reported(
    tmp_path: Path, garbage: int, places: int
) -> None:
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 60, (HEIGHT, WIDTH, 3), np.uint8)
    path = write_video(
        tmp_path / "a.mp4", [texture + np.uint8(3 * i) for i in range(60)], key_every=6
    )
    data = bytearray(path.read_bytes())
    for place in range(places):
        at = len(data) // 3 + place * len(data) // 20
        data[at : at + garbage] = rng.integers(0, 256, garbage, np.uint8).tobytes()
    path.write_bytes(data)
    reader = VideoReader(path)
    frames = read_all(reader)
    assert 20 < len(frames) <= 60
    assert frames.times[-1] == pytest.approx(59 / 25)  # it went on behind the damage
    assert any("damaged frames: " in line or "decoding error" in line for line in reader.problems)


def test_a_truncated_file_yields_what_is_there_and_the_count(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8) for _ in range(40)]
    path = write_video(tmp_path / "a.mp4", images, options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    reader = VideoReader(path)
    frames = read_all(reader)
    assert 0 < len(frames) < 40
    assert reader.decoded_frames == len(frames)
    assert f"decoded {len(frames)} of 40 declared frames" in reader.problems


def test_a_truncated_file_without_a_declared_count_is_noticed_by_its_length(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8) for _ in range(60)]
    path = write_video(tmp_path / "a.mkv", images)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    reader = VideoReader(path)
    read_all(reader)
    assert any(
        re.search(r"the picture ends at \d\.\d\d s of 2\.\d\d s declared", problem)
        for problem in reader.problems
    )


def test_frames_larger_than_the_limit_are_refused_by_the_header(video: Path) -> None:
    limit = HEIGHT * WIDTH - 1
    with pytest.raises(MediaError, match=rf"frames of {WIDTH}x{HEIGHT} pixels; .*max_pixels"):
        read_all(VideoReader(video, DecodeSettings(max_pixels=limit)))


def test_more_declared_frames_than_the_limit_are_refused(video: Path) -> None:
    with pytest.raises(MediaError, match=r"declares 23 frames; a clip may have 22 \(max_frames\)"):
        read_all(VideoReader(video, DecodeSettings(max_frames=22)))


def test_a_longer_clip_than_the_limit_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [grey_frame(0)] * 60)
    with pytest.raises(MediaError, match=r"declares 2\.4 s; a clip may have 1\.5 s \(max_duration"):
        read_all(VideoReader(path, DecodeSettings(max_duration_seconds=1.5)))
    reader = VideoReader(path, DecodeSettings(max_duration_seconds=1.5), Span(0.5, 1.5))
    assert len(read_all(reader)) == 25


def test_undeclared_frames_beyond_the_limits_end_the_clip_with_a_reason(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.ts", [grey_frame(i) for i in range(20)])
    reader = VideoReader(path, DecodeSettings(max_frames=7))
    assert numbers_of(read_all(reader)) == list(range(7))
    assert "stopped after 7 frames (max_frames)" in reader.problems


def test_a_clip_that_declares_no_length_ends_at_the_limit_with_a_reason(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.h264", [grey_frame(i % 20) for i in range(40)])
    reader = VideoReader(path, DecodeSettings(max_duration_seconds=1.0))
    frames = read_all(reader)
    assert frames.times[-1] <= 1.0
    assert any("stopped at a frame that claims to be at 1 s" in line for line in reader.problems)


def test_an_encrypted_file_says_so(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.mp4",
        [grey_frame(i) for i in range(5)],
        options={
            "encryption_scheme": "cenc-aes-ctr",
            "encryption_key": "0" * 32,
            "encryption_kid": "1" * 32,
        },
    )
    with pytest.raises(MediaError, match="its video is encrypted and can't be decoded"):
        read_all(VideoReader(path))


def test_a_file_of_sound_alone_has_no_video_stream(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.mp4", np.zeros((1, 160), np.float32), 16_000)
    with pytest.raises(NoVideoError, match=r"a\.mp4 has no video stream"):
        read_all(VideoReader(path))


def test_a_video_of_which_nothing_can_be_decoded_is_refused(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise InvalidDataError(1, "bad data")

    monkeypatch.setattr(VideoReader, "_rgb", broken)
    with pytest.raises(MediaError, match=r"no frame could be decoded \(picture decoding error"):
        read_all(VideoReader(video))


# Name, frames, (height, width), first and last time, part of the problems or None, part of a note.
ODD = [
    ("av1.mkv", 125, (360, 640), 0.0, 4.96, None, None),
    ("corrupted.mp4", 49, (720, 1280), 0.0, 4.9, "decoded 49 of 50 declared frames", None),
    ("declares_18_decodes_17.mp4", 17, (480, 640), 0.0, 16 / 29.97, None, "1 of 18 declared"),
    ("declares_30_decodes_25.mp4", 25, (64, 64), 0.0, 0.96, None, "5 of 30 declared"),
    ("hdr.mp4", 60, (180, 320), 0.0, 59 / 30, None, "hdr: "),
    ("non_zero_start.mp4", 12, (112, 200), 0.0, 11 / 30, None, None),
    ("odd_size_444.mp4", 25, (241, 321), 0.0, 0.96, None, None),
    ("one_frame.mp4", 1, (64, 64), 0.0, 0.0, None, None),
    ("rotated_0.mov", 3, (320, 568), 0.0, 2 / 30, None, None),
    ("rotated_90.mov", 3, (568, 320), 0.0, 2 / 30, None, None),
    ("sine_no_declared_length.mpg", 100, (128, 128), 0.011, 3.971, None, None),
    ("tiny_face_176x144.mp4", 120, (144, 192), 0.0, 119 / 29.97, None, "shown 192x144"),
    ("unordered.mov", 4, (50, 50), 0.0, 3 / 32, None, None),
    ("very_dark_no_audio.mp4", 469, (272, 480), 0.0, 15.615, None, None),
    ("no_face.mp4", 95, (540, 960), 0.0, 3.917, None, "3 of 98 declared frames are hidden"),
]


@pytest.mark.parametrize("case", ODD, ids=[case[0] for case in ODD])
def test_odd_files_are_read_as_far_as_they_go(
    data: Path,
    case: tuple[str, int, tuple[int, int], float, float, str | None, str | None],
) -> None:
    name, count, size, first, last, problem, note = case
    reader = VideoReader(data / "clips" / "odd" / name)
    times = np.concatenate([chunk.times for chunk in reader])
    assert (len(times), reader.decoded_frames, reader.frame_size) == (count, count, size)
    assert times[[0, -1]] == pytest.approx([first, last], abs=0.001)
    assert bool(reader.problems) == (problem is not None)
    assert problem is None or problem in reader.problems
    assert (note or "") in " ".join(reader.notes)


def test_a_phone_video_is_shown_upright(data: Path) -> None:
    stored, turned = (
        read_all(VideoReader(data / "clips" / "odd" / f"rotated_{angle}.mov")) for angle in (0, 90)
    )
    # The player turns it by 90 degrees clockwise; the stored pictures are of another recording.
    assert stored.images.shape[1:3] == turned.images.shape[2:0:-1]


def test_a_wav_named_mp4_has_no_video_stream(data: Path) -> None:
    with pytest.raises(NoVideoError, match="has no video stream"):
        read_all(VideoReader(data / "clips" / "odd" / "wav_named_mp4.mp4"))
