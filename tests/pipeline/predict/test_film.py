"""Films of answers: read back, they have the video's frames, times and sound, and drawings."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.choice.choice import FaceArrays, choose_faces
from pipeline.faces.tracks import BoxSource
from pipeline.inspect.colours import PALETTE
from pipeline.media.frames import MediaError
from pipeline.predict.band import Band, Course
from pipeline.predict.film import BOX, LEAST_WIDTH, write_film
from pipeline.predict.outputs import plan_films
from tests.pipeline.known_faces import RATE, known_tracks, see
from tests.pipeline.sheets import LARGE
from tests.pipeline.videos import HEIGHT, WIDTH, grey_frame, number_of, write_video

LEFT = (LEAST_WIDTH - WIDTH) // 2  # of a small picture in its film
TONE = np.sin(np.arange(16_000) / 8)[None].astype(np.float32) / 2  # a second of it


def faces(num: int, sources: Sequence[BoxSource]) -> FaceArrays:
    """A large face in each of some frames, by its source; WHOLE: no face."""
    seen = [
        see(frame, 0, LARGE, source)
        for frame, source in enumerate(sources)
        if source != BoxSource.WHOLE
    ]
    return choose_faces(known_tracks(num, seen, (HEIGHT, WIDTH)), "largest")


def course(video: Path, chosen: FaceArrays | None, times: np.ndarray) -> Course:
    """A course that is sure of "glad" in its first half and of "sad" in its second."""
    first = (np.arange(len(times)) < len(times) / 2)[:, None]
    rows = np.where(first, (0.9, 0.1), (0.2, 0.8))
    return Course(video, "glad", 0.6, "a hint", ("glad", "sad"), times, rows, chosen)


def read(path: Path) -> tuple[list[np.ndarray], np.ndarray, list[float]]:
    """The pictures of a file, their times, and the first and last time of its sound."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    images = [frame.to_ndarray(format="rgb24") for frame in frames]
    times = np.array([float(frame.pts * frame.time_base) for frame in frames])
    with av.open(str(path)) as container:
        heard = list(container.decode(audio=0)) if container.streams.audio else []
    if not heard:
        return images, times, []
    return (
        images,
        times,
        [heard[0].time, heard[-1].time + heard[-1].samples / heard[-1].sample_rate],
    )


def is_blue(pixels: np.ndarray) -> np.ndarray:
    blue: np.ndarray = np.abs(pixels.astype(int) - BOX).max(axis=-1) < 60
    return blue


@pytest.mark.parametrize(
    ("name", "codec", "copied"),
    [("v.mp4", None, "aac"), ("v.mkv", "flac", "aac"), ("v.mkv", "ac3", "ac3")],
)
def test_a_film_has_the_videos_frames_times_and_sound(
    tmp_path: Path, name: str, codec: str | None, copied: str
) -> None:
    pts = [0, 1000, 2000, 5000, 5500, 6000, 11000, 12000, 13000, 14000, 20000]  # ticks of 1/25 ms
    video = write_video(
        tmp_path / name,
        [grey_frame(number) for number in range(11)],
        pts=pts,
        sound=TONE,
        sound_codec=codec,
        sound_rate=16_000 if codec != "ac3" else 48_000,
    )
    expected, times, heard = read(video)
    film = tmp_path / "film.mp4"
    assert write_film(film, course(video, None, times)) == []
    images, own, sound = read(film)
    assert len(images) == len(expected) == 11
    np.testing.assert_allclose(own, times, atol=5e-6)
    np.testing.assert_allclose(sound, heard, atol=0.07)
    with av.open(str(film)) as container:
        assert container.streams.audio[0].codec_context.name == copied
        picture = container.streams.video[0].codec_context
        assert (picture.name, picture.pix_fmt) == ("h264", "yuv420p")
        assert (picture.width % 2, picture.height % 2) == (0, 0)
    shown = [image[:HEIGHT, LEFT : LEFT + WIDTH] for image in images]
    assert [number_of(image) for image in shown] == list(range(11))


def test_a_box_stands_where_the_face_is_dashed_where_followed_and_nowhere_without(
    tmp_path: Path,
) -> None:
    sources = [BoxSource.DETECT, BoxSource.FOLLOW, BoxSource.WHOLE, BoxSource.DETECT]
    video = write_video(tmp_path / "v.mp4", [np.full((124, 188, 3), 128, np.uint8)] * 4, rate=RATE)
    seen = [see(n, 0, (80, 40, 160, 100), s) for n, s in enumerate(sources) if s]
    chosen = choose_faces(known_tracks(4, seen, (124, 188)), "largest")
    film = tmp_path / "film.mp4"
    write_film(film, course(video, chosen, np.arange(4) / RATE))
    left = (LEAST_WIDTH - 188) // 2
    below = [is_blue(image[100, left + 84 : left + 156]).mean() for image in read(film)[0]]
    assert below[0] > 0.9
    assert 0.2 < below[1] < 0.8
    assert below[2] == 0
    assert below[3] > 0.9


def test_a_turned_video_is_upright_in_its_film(tmp_path: Path, data: Path) -> None:
    video = data / "clips/odd/rotated_90.mov"
    film = tmp_path / "film.mp4"
    write_film(film, course(video, None, np.arange(3) / 30))
    with av.open(str(video)) as container:
        stored = container.streams.video[0]
        assert stored.height < stored.width
        upright = (stored.width, stored.height)
    image = read(film)[0][0]
    assert image.shape[0] > upright[0]
    sides = image[: upright[0]].reshape(upright[0], -1, 3)[:, :20].mean()
    assert sides < 40  # the picture is narrow and stands in the middle
    assert image[: upright[0], image.shape[1] // 2].mean() > 40


def test_the_cursor_moves_and_the_likeliest_class_is_told(tmp_path: Path) -> None:
    band = Band(course(tmp_path / "v.mp4", None, np.arange(11) / 10), 640, 1)
    early, late = band.at(0.1), band.at(0.9)
    assert early.shape == (band.height, 640, 3)
    changed = np.flatnonzero((early != late).any(axis=(0, 2)))
    assert changed.min() < 100  # near the left, where the cursor was
    assert 400 < changed[changed < 508].max() < 508
    assert band.at(0.5).tobytes() == band.at(0.5).tobytes()


def test_curves_have_gaps_where_nothing_is_known_and_two_colours(tmp_path: Path) -> None:
    one = course(tmp_path / "v.mp4", None, np.arange(100) / 10)
    one.probabilities[40:60] = np.nan
    plot = Band(one, 640, 1).at(0.0)[19:146, 40:500].astype(int)
    for colour in PALETTE[:2]:
        there = (np.abs(plot - colour).max(axis=-1) < 40).any(axis=0)
        middle = there[len(there) * 42 // 100 : len(there) * 58 // 100]
        assert there.mean() > 0.5
        assert not middle.any()
    assert one.at(5.0) is None
    assert np.array_equal(one.at(0.0), (0.9, 0.1))


def test_other_frames_than_those_of_the_faces_are_refused_and_leave_no_file(
    tmp_path: Path,
) -> None:
    video = write_video(tmp_path / "v.mp4", [grey_frame(n) for n in range(7)], rate=RATE)
    chosen = faces(5, [BoxSource.DETECT] * 5)
    film = tmp_path / "film.mp4"
    with pytest.raises(MediaError, match="decodes to other frames than when its faces were found"):
        write_film(film, course(video, chosen, np.arange(5) / RATE))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v.mp4"]


def test_mpeg4_is_taken_where_there_is_no_x264(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx264"})
    video = write_video(tmp_path / "v.mp4", [grey_frame(n) for n in range(5)], rate=RATE)
    film = tmp_path / "film.mp4"
    write_film(film, course(video, None, np.arange(5) / RATE))
    with av.open(str(film)) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    np.testing.assert_allclose(read(film)[1], np.arange(5) / RATE, atol=1e-5)


def test_the_same_video_and_answer_make_the_same_bytes(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", [grey_frame(n) for n in range(5)], sound=TONE)
    films = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        films.append(tmp_path / name / "film.mp4")
        write_film(films[-1], course(video, faces(5, [BoxSource.DETECT] * 5), np.arange(5) / RATE))
    assert films[0].read_bytes() == films[1].read_bytes()


@pytest.mark.slow
def test_a_long_video_is_filmed_in_memory_that_does_not_grow(tmp_path: Path) -> None:
    peaks = []
    for num in (40, 400):
        # 400 frames of 480x360 decoded are 207 MB.
        frames = [np.full((360, 480, 3), 90 + number, np.uint8) for number in range(20)]
        video = write_video(tmp_path / f"{num}.mp4", [frames[n % 20] for n in range(num)])
        write_film(tmp_path / "film.mp4", course(video, None, np.arange(num) / 25))
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    assert peaks[1] - peaks[0] < 60_000  # kB


def test_films_of_several_videos_are_told_apart(tmp_path: Path) -> None:
    videos = [tmp_path / "a/v.mp4", tmp_path / "b/v.avi", tmp_path / "w.mov"]
    films = plan_films(tmp_path / "films", videos)
    assert [film.name for film in films] == ["v.mp4", "v-2.mp4", "w.mp4"]
    assert plan_films(tmp_path / "x.MP4", videos[:1]) == [tmp_path / "x.MP4"]


@pytest.mark.parametrize(
    ("output", "count", "message"),
    [
        ("x.mp4", 2, "2 videos are no one film; name a folder"),
        ("x.avi", 1, "expected a name that ends in .mp4, or a folder"),
        (".", 1, "v.mp4 is one of the videos; name another place"),
        ("v.mp4", 1, "v.mp4 is one of the videos; name another place"),
    ],
)
def test_a_film_that_has_no_place_is_refused(
    tmp_path: Path, output: str, count: int, message: str
) -> None:
    videos = [tmp_path / "v.mp4", tmp_path / "w.mp4"][:count]
    with pytest.raises(ValueError, match=message):
        plan_films(tmp_path / output, videos)


def test_attention_of_a_modality_has_a_strip_of_its_own(tmp_path: Path) -> None:
    bare = course(tmp_path / "v.mp4", None, np.arange(10) / 10)
    weights = np.where(np.arange(10) < 5, 0.2, 0.0)
    both = replace(bare, attention={"video": (bare.times, weights), "audio": (np.zeros(1),) * 2})
    band = Band(both, 640, 1)
    assert band.height == Band(bare, 640, 1).height + 36  # the sound's one step has none
    strip = band.at(0.0)[146 + 6 : 146 + 6 + 29, 36:500]  # below it is its base
    dark = (strip == 140).all(axis=(0, 2))
    assert dark[10 : len(dark) * 4 // 10].all()
    assert not dark[len(dark) * 6 // 10 :].any()
