from __future__ import annotations

import numpy as np
import pytest

from cache.manifest.clip import Clip
from pipeline.inspect import frames as under_test
from pipeline.inspect.frames import SEEK_FROM_FRAMES, decode_wanted, limits_of
from pipeline.media.frames import DecodeSettings, Frames, MediaError, VideoReader
from tests.pipeline.videos import HEIGHT, WIDTH, grey_frame, number_of, write_video

SIZE = (HEIGHT, WIDTH)
LIMITS = DecodeSettings()


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """19 frames that carry their number."""
    path = tmp_path_factory.mktemp("short") / "short.mp4"
    return Clip("short", write_video(path, [grey_frame(n) for n in range(19)]))


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """1,300 frames whose grey level says which hundred they are of, a key frame every 50."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    images = [grey_frame(n // 100) for n in range(1300)]
    return Clip("long", write_video(path, images, key_every=50))


def times(num: int) -> np.ndarray:
    return np.arange(num) / 25


def test_the_frames_asked_for_come_with_their_numbers(short: Clip) -> None:
    found = list(decode_wanted(short, times(19), [2, 3, 11, 17], SIZE, LIMITS))
    assert [(frame, number_of(image)) for frame, image in found] == [(n, n) for n in (2, 3, 11, 17)]


def test_nothing_behind_the_last_frame_is_decoded(
    short: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "CHUNK_BYTES", 2 * 3 * HEIGHT * WIDTH)  # chunks of 2 frames
    known = times(19)
    known[8:] += 0.001  # whoever decodes frame 8 finds it elsewhere, and says so
    assert len(list(decode_wanted(short, known, [2, 7], SIZE, LIMITS))) == 2
    with pytest.raises(MediaError, match="decodes to other frames than when its faces were found"):
        list(decode_wanted(short, known, [2, 8], SIZE, LIMITS))


def test_a_part_of_a_file_counts_from_its_start(short: Clip) -> None:
    part = Clip("part", short.path, start_seconds=0.2, end_seconds=0.6)
    found = list(decode_wanted(part, times(10), [0, 3], SIZE, LIMITS))
    assert [(frame, number_of(image)) for frame, image in found] == [(0, 5), (3, 8)]


def test_a_file_that_became_shorter_is_named(short: Clip) -> None:
    with pytest.raises(MediaError, match=r"short.mp4 ends after 19 frames and had 23 when"):
        list(decode_wanted(short, times(23), [0, 21], SIZE, LIMITS))


def count_decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the frames that readers hand out from now on."""
    handed: list[int] = []
    original = VideoReader.__iter__

    def counted(self: VideoReader) -> object:
        for chunk in original(self):
            handed.append(len(chunk))
            yield chunk

    monkeypatch.setattr(VideoReader, "__iter__", counted)
    return handed


def test_frames_far_apart_are_sought_and_those_between_never_handed_out(
    long: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(times(1300)) > SEEK_FROM_FRAMES * 2
    handed = count_decoded(monkeypatch)
    found = list(decode_wanted(long, times(1300), [207, 1103], SIZE, LIMITS))
    assert [(frame, number_of(image)) for frame, image in found] == [(207, 2), (1103, 11)]
    assert handed == [1, 1]


def test_where_a_seek_finds_no_frame_at_its_time_the_file_is_decoded_from_its_beginning(
    long: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed = count_decoded(monkeypatch)
    missed = Frames(grey_frame(19)[None], np.array([0.02]))
    monkeypatch.setattr(under_test, "_seek", lambda *about: None if about[1] > 9 else missed)
    found = list(decode_wanted(long, times(1300), [207, 1103], SIZE, LIMITS))
    assert [(frame, number_of(image)) for frame, image in found] == [(207, 19), (1103, 11)]
    assert sum(handed) > 1103


def test_a_sought_frame_of_another_size_is_not_taken(
    long: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed = count_decoded(monkeypatch)
    with_other_size = (HEIGHT + 2, WIDTH)
    found = list(decode_wanted(long, times(1300), [207, 1103], with_other_size, LIMITS))
    assert [number_of(image) for _, image in found] == [2, 11]
    assert sum(handed) > 1103  # decoded from the beginning


def test_the_limits_of_the_run_that_found_the_faces_count_again() -> None:
    stated = {"limits": {"max_pixels": 77, "threads": 1, "hang_seconds": 5.0, "of_old": 3}}
    assert limits_of(stated) == DecodeSettings(max_pixels=77)
    assert limits_of({}) == DecodeSettings()
